"""What never leaves through logs and never stays in the audit log: secrets, by their name or their shape, and people's addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping

REDACTED = "[redacted]"
# What ends in "id" names a key or a token and opens nothing.
_SECRET_NAME = re.compile(
    r"authorization|(?:api[_-]?key|token)(?!_?id$)|master[_-]?key|encryption[_-]?key|secret|seed|password|cookie", re.IGNORECASE
)
_SECRET_VALUE = re.compile(
    r"ohk_(?:live|test|tok)_\w+"  # our API keys and tokens
    r"|\bwhsec_[\w+/=-]+"  # a webhook's signing secret
    r"|\bS[A-Z2-7]{55}\b"  # a Stellar seed
    r"|(?<=Bearer )\S+"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"  # user and password in a URL
)
# The first character and the domain stay: enough to recognise one's own customer, not enough to write to somebody else's.
_EMAIL = re.compile(r"([^\s@:/\\<>()\[\]\"',;])[^\s@:/\\<>()\[\]\"',;]*@([^\s@:/\\<>()\[\]\"',;]+\.[^\s@:/\\<>()\[\]\"',;.]+)")
_DEPTH = 6


def redact(name: str, value: object, depth: int = _DEPTH) -> object:
    """The value as it may be kept under this name; also inside mappings and lists, down to ``depth``."""
    if value is not None and _SECRET_NAME.search(name):
        return REDACTED
    if isinstance(value, str):
        return _without_secrets(value)
    if isinstance(value, bytes):
        return REDACTED
    if isinstance(value, Mapping):
        return {key: redact(str(key), inner, depth - 1) for key, inner in value.items()} if depth else REDACTED
    if isinstance(value, list | tuple):
        return [redact("", inner, depth - 1) for inner in value] if depth else REDACTED
    return value


def _without_secrets(text: str) -> str:
    kept = _SECRET_VALUE.sub(REDACTED, text)
    return _EMAIL.sub(r"\1***@\2", kept) if "@" in kept else kept
