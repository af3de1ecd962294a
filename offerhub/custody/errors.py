"""Custody's only exception. Its text names wallets and keys by id, never by content."""


class CustodyError(Exception):
    """A sealed seed cannot be opened, or is not the seed of the wallet it is stored with. Asking again will not help."""
