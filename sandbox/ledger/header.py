"""The header of a closed ledger, as XDR and as Horizon's record."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.encoding import STROOPS_PER_UNIT, amount_text, time_text
from sandbox.ledger.entries import BASE_FEE_STROOPS, BASE_RESERVE_STROOPS
from sandbox.ledger.genesis import TOTAL_LUMENS
from sandbox.ledger.records import TransactionRecord

PROTOCOL_VERSION = 27
MAX_TX_SET_SIZE = 1_000
_NO_HASH = bytes(32)


@dataclass(frozen=True)
class Header:
    """The last closed ledger, as far as the next one builds on it."""

    sequence: int
    hash: str
    closed_at: int


def ledger_record(previous: Header | None, closed_at: int, fee_pool: int, transactions: Sequence[TransactionRecord]) -> dict[str, Any]:
    """Horizon's ledger resource without links; ``closed_at_unix`` is our own addition for restarts."""
    sequence = 1 if previous is None else previous.sequence + 1
    previous_hash = _NO_HASH.hex() if previous is None else previous.hash
    set_hash = sha256(b"".join(bytes.fromhex(each.hash) for each in transactions)).digest()
    header = _header_xdr(sequence, previous_hash, closed_at, fee_pool, set_hash)
    header_hash = sha256(header).hexdigest()
    successful = [each for each in transactions if each.successful]
    return {
        "id": header_hash,
        "hash": header_hash,
        "prev_hash": previous_hash,
        "sequence": sequence,
        "successful_transaction_count": len(successful),
        "failed_transaction_count": len(transactions) - len(successful),
        "operation_count": sum(len(each.operations) for each in successful),
        "tx_set_operation_count": sum(len(each.operations) for each in transactions),
        "closed_at": time_text(closed_at),
        "total_coins": amount_text(TOTAL_LUMENS * STROOPS_PER_UNIT),
        "fee_pool": amount_text(fee_pool),
        "base_fee_in_stroops": BASE_FEE_STROOPS,
        "base_reserve_in_stroops": BASE_RESERVE_STROOPS,
        "max_tx_set_size": MAX_TX_SET_SIZE,
        "protocol_version": PROTOCOL_VERSION,
        "header_xdr": base64.b64encode(header).decode(),
        "closed_at_unix": closed_at,
    }


def _header_xdr(sequence: int, previous_hash: str, closed_at: int, fee_pool: int, set_hash: bytes) -> bytes:
    value = xdr.StellarValue(
        xdr.Hash(set_hash),
        xdr.TimePoint(xdr.Uint64(closed_at)),
        [],
        xdr.StellarValueExt(xdr.StellarValueType.STELLAR_VALUE_BASIC),
    )
    header = xdr.LedgerHeader(
        ledger_version=xdr.Uint32(PROTOCOL_VERSION),
        previous_ledger_hash=xdr.Hash(bytes.fromhex(previous_hash)),
        scp_value=value,
        tx_set_result_hash=xdr.Hash(set_hash),
        bucket_list_hash=xdr.Hash(_NO_HASH),
        ledger_seq=xdr.Uint32(sequence),
        total_coins=xdr.Int64(TOTAL_LUMENS * STROOPS_PER_UNIT),
        fee_pool=xdr.Int64(fee_pool),
        inflation_seq=xdr.Uint32(0),
        id_pool=xdr.Uint64(0),
        base_fee=xdr.Uint32(BASE_FEE_STROOPS),
        base_reserve=xdr.Uint32(BASE_RESERVE_STROOPS),
        max_tx_set_size=xdr.Uint32(MAX_TX_SET_SIZE),
        skip_list=[xdr.Hash(_NO_HASH)] * 4,
        ext=xdr.LedgerHeaderExt(0),
    )
    return header.to_xdr_bytes()
