"""What a key may do, as words; and which word includes which."""

from __future__ import annotations

from collections.abc import Iterable

READ = "read"
EVERYTHING = frozenset({"admin", "*"})


def grants(held: Iterable[str], wanted: str) -> bool:
    """``admin`` and ``*`` include everything, ``support`` includes ``read``; ``write`` does not."""
    scopes = frozenset(held)
    return wanted in scopes or bool(scopes & EVERYTHING) or (wanted == READ and "support" in scopes)
