"""Name the place where two contract values part, for the operator who reads a refusal. Nothing is decided here."""

from __future__ import annotations

from stellar_sdk import Address, scval, xdr

from offerhub.domain.errors import IntentMismatchError

_SHOWN_CHARACTERS = 200


def first_difference(path: str, expected: xdr.SCVal, found: xdr.SCVal) -> IntentMismatchError:
    """Descend into structs and lists of the same shape; ``path`` grows like ``expected_escrow.roles.receiver``."""
    if expected.type == found.type:
        for name, inner_expected, inner_found in _pairs(expected, found):
            if inner_expected.to_xdr_bytes() != inner_found.to_xdr_bytes():
                return first_difference(f"{path}{name}", inner_expected, inner_found)
    return IntentMismatchError(path, shown(expected), shown(found))


def shown(value: xdr.SCVal | xdr.LedgerKey) -> str:
    """A short text for any value, however malformed."""
    try:
        native = scval.to_native(value) if isinstance(value, xdr.SCVal) else f"{value.type.name} {value.to_xdr()}"
        text = native.address if isinstance(native, Address) else native if isinstance(native, str) else repr(native)
    except Exception:  # noqa: BLE001 - a value made to break its own rendering is still only refused
        text = value.to_xdr()
    return text[:_SHOWN_CHARACTERS]


def _pairs(expected: xdr.SCVal, found: xdr.SCVal) -> list[tuple[str, xdr.SCVal, xdr.SCVal]]:
    if expected.map is not None and found.map is not None:
        left, right = expected.map.sc_map, found.map.sc_map
        names = [entry.key.to_xdr_bytes() for entry in left]
        if names != [entry.key.to_xdr_bytes() for entry in right]:
            return []
        return [(f".{shown(a.key)}", a.val, b.val) for a, b in zip(left, right, strict=True)]
    if expected.vec is not None and found.vec is not None and len(expected.vec.sc_vec) == len(found.vec.sc_vec):
        return [(f"[{index}]", a, b) for index, (a, b) in enumerate(zip(expected.vec.sc_vec, found.vec.sc_vec, strict=True))]
    return []
