"""Python values to Soroban values and back, on raw XDR objects.

Decoding is strict like the host's: a value of another type raises ``UnexpectedValue``, which ends the call as a trap.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from stellar_sdk import Address, scval, xdr

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class UnexpectedValue(Exception):
    """An argument or stored value has not the type the contract's interface demands."""


@lru_cache(maxsize=4096)
def sc_address(address: str) -> xdr.SCAddress:
    """Shared object: callers must not change it."""
    return Address(address).to_xdr_sc_address()


def address_value(address: str) -> xdr.SCVal:
    return xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=sc_address(address))


def struct_value(fields: Mapping[str, xdr.SCVal]) -> xdr.SCVal:
    """A contract struct: a map by symbol, keys ascending as the host demands."""
    entries = [xdr.SCMapEntry(key=scval.to_symbol(name), val=fields[name]) for name in sorted(fields)]
    return xdr.SCVal(xdr.SCValType.SCV_MAP, map=xdr.SCMap(entries))


def amounts_value(amounts: Mapping[str, int]) -> xdr.SCVal:
    """``Map<Address, i128>``, keys ascending."""
    return scval.to_map({address_value(address): scval.to_int128(amount) for address, amount in amounts.items()})


def vec_value(items: Sequence[xdr.SCVal]) -> xdr.SCVal:
    return xdr.SCVal(xdr.SCValType.SCV_VEC, vec=xdr.SCVec(list(items)))


def string_value(text: str) -> xdr.SCVal:
    return scval.to_string(text.encode("utf-8", "surrogateescape"))


def as_address(value: xdr.SCVal) -> str:
    if value.address is None:
        raise UnexpectedValue("address expected")
    kind, account, contract = value.address.type, value.address.account_id, value.address.contract_id
    if kind == xdr.SCAddressType.SC_ADDRESS_TYPE_ACCOUNT and account is not None and account.account_id.ed25519 is not None:
        return _account_strkey(account.account_id.ed25519.uint256)
    if kind == xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT and contract is not None:
        return _contract_strkey(contract.contract_id.hash)
    raise UnexpectedValue("account or contract address expected")


def as_i128(value: xdr.SCVal) -> int:
    _demand(value, xdr.SCValType.SCV_I128)
    return scval.from_int128(value)


def as_u32(value: xdr.SCVal) -> int:
    _demand(value, xdr.SCValType.SCV_U32)
    return scval.from_uint32(value)


def as_bool(value: xdr.SCVal) -> bool:
    _demand(value, xdr.SCValType.SCV_BOOL)
    return scval.from_bool(value)


def as_string(value: xdr.SCVal) -> str:
    """On-chain strings are bytes; what is not UTF-8 survives as surrogates and encodes back unchanged."""
    _demand(value, xdr.SCValType.SCV_STRING)
    return scval.from_string(value).decode("utf-8", "surrogateescape")


def as_symbol(value: xdr.SCVal) -> str:
    _demand(value, xdr.SCValType.SCV_SYMBOL)
    return scval.from_symbol(value)


def as_bytes32(value: xdr.SCVal) -> bytes:
    _demand(value, xdr.SCValType.SCV_BYTES)
    content = scval.from_bytes(value)
    if len(content) != 32:
        raise UnexpectedValue("32 bytes expected")
    return content


def as_vec(value: xdr.SCVal) -> list[xdr.SCVal]:
    if value.vec is None:
        raise UnexpectedValue("vec expected")
    return list(value.vec.sc_vec)


def as_struct(value: xdr.SCVal, field_names: frozenset[str]) -> dict[str, xdr.SCVal]:
    entries = [(as_symbol(entry.key), entry.val) for entry in _entries(value)]
    if [name for name, _ in entries] != sorted(field_names):
        raise UnexpectedValue("struct fields differ or are not ascending")
    return dict(entries)


def as_amounts(value: xdr.SCVal) -> dict[str, int]:
    """``Map<Address, i128>`` in map order; the host refuses maps that are not sorted or repeat a key."""
    amounts = {as_address(entry.key): as_i128(entry.val) for entry in _entries(value)}
    if amounts_value(amounts).to_xdr_bytes() != value.to_xdr_bytes():
        raise UnexpectedValue("map keys must be ascending and unique")
    return amounts


def _entries(value: xdr.SCVal) -> list[xdr.SCMapEntry]:
    if value.map is None:
        raise UnexpectedValue("map expected")
    return list(value.map.sc_map)


def _demand(value: xdr.SCVal, kind: xdr.SCValType) -> None:
    if value.type != kind:
        raise UnexpectedValue(f"{kind.name} expected, got {value.type.name}")


@lru_cache(maxsize=4096)
def _account_strkey(public_key: bytes) -> str:
    return Address.from_raw_account(public_key).address


@lru_cache(maxsize=4096)
def _contract_strkey(contract_hash: bytes) -> str:
    return Address.from_raw_contract(contract_hash).address
