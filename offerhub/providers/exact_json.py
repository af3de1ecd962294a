"""JSON whose numbers are exact decimals in both directions; the standard encoder would need binary floats."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from decimal import Decimal

Value = Mapping[str, "Value"] | Sequence["Value"] | str | bool | int | Decimal | None


def encode(value: Value) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{json.dumps(name)}:{encode(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(encode(inner) for inner in value) + "]"
    return json.dumps(value)


def decode(content: bytes) -> object:
    """Raise ``ValueError`` for anything that is not JSON, NaN and Infinity included."""
    try:
        return json.loads(content, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
