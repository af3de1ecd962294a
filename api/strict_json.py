"""Request bodies: JSON only, of bounded depth and breadth, without control characters. Fields have narrower bounds of their own."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from api import problems
from offerhub.domain.errors import DomainError, ErrorCode

MAX_BODY_BYTES = 256 * 1024
MAX_DEPTH = 12
MAX_MEMBERS = 1_000
MAX_CHARACTERS = 20_000
# Tab and the line ends are text; everything else of C0, DEL and C1 is not.
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_ENCODED_CONTROL = re.compile(rb"%(?:[01][0-9a-f]|7f)", re.IGNORECASE)


def read(body: bytes, content_type: str | None) -> Any:  # noqa: ANN401 JSON is anything
    """Parse, or raise ``UNSUPPORTED_MEDIA_TYPE`` or ``VALIDATION_ERROR``."""
    if content_type and not _is_json(content_type):
        message = f"Send application/json, not {content_type[:100]}."
        raise DomainError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, message, {"contentType": content_type[:100]})
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise problems.invalid([("", f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")]) from None
    _check(parsed, "", MAX_DEPTH)
    # orjson keeps the last of two fields of one name, others the first; nobody should have to know which amount counts.
    json.loads(body, object_pairs_hook=_check_names)
    return parsed


def check_address(path: str, query: bytes) -> None:
    """Control characters are refused in paths and queries too."""
    if _CONTROL.search(path) or _ENCODED_CONTROL.search(query):
        raise problems.invalid([("", "control characters are not allowed in the address")])


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _check_names(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    once: dict[str, Any] = {}
    for name, value in fields:
        if name in once:
            raise problems.invalid([(name, "is there twice")])
        once[name] = value
    return once


def _check(value: object, place: str, depth: int) -> None:
    if isinstance(value, str):
        _check_text(value, place)
    elif isinstance(value, dict | list):
        if depth == 0:
            raise problems.invalid([(place, f"nested deeper than {MAX_DEPTH} levels")])
        if len(value) > MAX_MEMBERS:
            raise problems.invalid([(place, f"more than {MAX_MEMBERS} members")])
        members = value.items() if isinstance(value, dict) else enumerate(value)
        for name, member in members:
            if isinstance(name, str):
                _check_text(name, place)
            _check(member, f"{place}.{name}" if place else str(name), depth - 1)


def _check_text(value: str, place: str) -> None:
    if len(value) > MAX_CHARACTERS:
        raise problems.invalid([(place, f"longer than {MAX_CHARACTERS} characters")])
    if _CONTROL.search(value):
        raise problems.invalid([(place, "control characters are not allowed")])
