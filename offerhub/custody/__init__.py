"""The keys of wallets: made, sealed, used for one signature, forgotten.

Here live envelope encryption, the key-encryption keys and the vault that signs. Never here: what is signed and why (the vault is given the
hash of an envelope that ``offerhub.stellar`` has verified), the database, the network. No seed or data key leaves this package or appears
in a repr, an exception or a log. Python cannot wipe memory: an attacker who reads the memory of the custody process has the keys in use.
"""
