"""JSON whose numbers are exact: decimals are read as ``Decimal`` and written digit for digit, never through a float."""

from __future__ import annotations

import json
from decimal import Decimal

STROOPS_PER_UNIT = 10**7


def loads(content: bytes) -> object:
    return json.loads(content, parse_float=Decimal, parse_constant=_refuse_constant)


def dumps(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(key)}:{dumps(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(dumps(item) for item in value) + "]"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return json.dumps(value)


def units(stroops: int) -> Decimal:
    return Decimal(stroops) / STROOPS_PER_UNIT


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
