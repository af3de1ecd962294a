"""The custody role's two acts: make a wallet's key, and sign one hash with it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from stellar_sdk import Keypair

from offerhub.custody.errors import CustodyError
from offerhub.custody.keys import KeyEncryption
from offerhub.custody.sealing import SealedSeed, SeedOwner, rewrap, seal, unseal

SEED_BYTES = 32
HASH_BYTES = 32


class Vault:
    """``key_encryption`` seals new seeds; ``retiring`` keys still open older ones until their rows are re-wrapped."""

    def __init__(self, key_encryption: KeyEncryption, network_passphrase: str, retiring: Sequence[KeyEncryption] = ()) -> None:
        self._current = key_encryption
        self._network_passphrase = network_passphrase
        self._keys = {key.id: key for key in (*retiring, key_encryption)}

    @property
    def key_id(self) -> str:
        """Rows sealed under another id still have to be re-wrapped."""
        return self._current.id

    def create(self, wallet_id: str) -> tuple[str, SealedSeed]:
        """Make a key from the system's randomness; store both before the public key is used for anything."""
        keypair = Keypair.from_raw_ed25519_seed(secrets.token_bytes(SEED_BYTES))
        owner = self._owner(wallet_id, keypair.public_key)
        return keypair.public_key, seal(keypair.raw_secret_key(), owner, self._current)

    def sign(self, wallet_id: str, public_key: str, sealed: SealedSeed, transaction_hash: bytes) -> bytes:
        """Return the XDR of the decorated signature. The hash must come from an envelope that was verified or built by us."""
        if len(transaction_hash) != HASH_BYTES:
            raise CustodyError(f"A transaction hash has {HASH_BYTES} bytes, not {len(transaction_hash)}.")
        owner = self._owner(wallet_id, public_key)
        keypair = Keypair.from_raw_ed25519_seed(unseal(sealed, owner, self._key(sealed.key_id)))
        if keypair.public_key != public_key:
            raise CustodyError(f"The sealed seed of wallet {wallet_id} belongs to another account.")
        return keypair.sign_decorated(transaction_hash).to_xdr_object().to_xdr_bytes()

    def rewrap(self, wallet_id: str, public_key: str, sealed: SealedSeed) -> SealedSeed:
        """Move a seed under the current key-encryption key; one that is there already comes back unchanged."""
        if sealed.key_id == self._current.id:
            return sealed
        return rewrap(sealed, self._owner(wallet_id, public_key), self._key(sealed.key_id), self._current)

    def _owner(self, wallet_id: str, public_key: str) -> SeedOwner:
        return SeedOwner(wallet_id, public_key, self._network_passphrase)

    def _key(self, key_id: str) -> KeyEncryption:
        if key_id not in self._keys:
            raise CustodyError(f"There is no key-encryption key {key_id} here.")
        return self._keys[key_id]
