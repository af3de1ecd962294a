"""What a key may do, as words; and which word includes which."""

from __future__ import annotations

from collections.abc import Iterable

READ = "read"
OR = " or "
EVERYTHING = frozenset({"admin", "*"})


def grants(held: Iterable[str], wanted: str) -> bool:
    """``admin`` and ``*`` include everything, ``support`` includes ``read``; ``write`` does not. Of ``a or b`` one is enough."""
    scopes = frozenset(held)
    return bool(scopes.intersection(wanted.split(OR))) or bool(scopes & EVERYTHING) or (wanted == READ and "support" in scopes)
