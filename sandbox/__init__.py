"""A local Stellar network: a ledger with a clock, Horizon's API, friendbot, Trustless Work's API and a control API.

Here: what a client of the real network meets over HTTP, in one process on one port. Never here: anything of the server
that uses it (no ``offerhub``, ``api``, ``worker``), and no shortcut a real network would not offer outside ``/control``.
"""
