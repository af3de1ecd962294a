"""The record of an escrow of either kind, which only its fields tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.contracts.escrow_record import Escrow, as_escrow, escrow_value
from sandbox.contracts.multi_release_record import MultiReleaseEscrow, as_multi_release, multi_release_value

if TYPE_CHECKING:
    from stellar_sdk import xdr

Record = Escrow | MultiReleaseEscrow


def record_value(record: Record) -> xdr.SCVal:
    return escrow_value(record) if isinstance(record, Escrow) else multi_release_value(record)


def as_record(value: xdr.SCVal) -> Record:
    """A single-release escrow has an amount of its own."""
    fields = value.map.sc_map if value.map is not None else []
    has_amount = any(entry.key.sym is not None and entry.key.sym.sc_symbol == b"amount" for entry in fields)
    return as_escrow(value) if has_amount else as_multi_release(value)
