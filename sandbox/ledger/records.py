"""Horizon's records of an applied transaction and its operations, without the links that depend on the request."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.application import Application, AppliedOperation
from sandbox.ledger.encoding import (
    amount_text,
    drop_none,
    muxed_fields,
    time_text,
)
from sandbox.ledger.envelope import Envelope
from sandbox.ledger.operation_details import operation_details

_OP = xdr.OperationType
_ALWAYS_PAYMENTS = frozenset(
    {
        _OP.CREATE_ACCOUNT,
        _OP.PAYMENT,
        _OP.PATH_PAYMENT_STRICT_RECEIVE,
        _OP.PATH_PAYMENT_STRICT_SEND,
        _OP.ACCOUNT_MERGE,
    }
)


@dataclass(frozen=True)
class OperationRecord:
    id: int
    is_payment: bool
    participants: frozenset[str]
    document: dict[str, Any]


@dataclass(frozen=True)
class TransactionRecord:
    """``document`` is the resource as asked for by the outer hash."""

    id: int
    hash: str
    inner_hash: str | None
    successful: bool
    participants: frozenset[str]
    document: dict[str, Any]
    result_codes: dict[str, Any]
    diagnostic_events: tuple[str, ...]
    contract_failure: str | None
    operations: tuple[OperationRecord, ...]


def transaction_record(application: Application, ledger: int, order: int, closed_at: int) -> TransactionRecord:
    envelope, outcome = application.envelope, application.outcome
    toid = ledger << 32 | order << 12
    operations = tuple(
        _operation_record(each, toid + index, application, closed_at) for index, each in enumerate(application.operations, start=1)
    )
    call = application.contract_call
    document = {
        "id": envelope.hash.hex(),
        "paging_token": str(toid),
        "successful": outcome.successful,
        "hash": envelope.hash.hex(),
        "ledger": ledger,
        "created_at": time_text(closed_at),
        **muxed_fields("source_account", "account", envelope.source, envelope.source_muxed_id),
        "source_account_sequence": str(envelope.sequence),
        **_fee_account(envelope),
        "fee_charged": str(outcome.fee_charged),
        "max_fee": str(envelope.max_fee),
        "operation_count": len(envelope.operations),
        "envelope_xdr": envelope.envelope_xdr,
        "result_xdr": outcome.result_xdr(),
        "result_meta_xdr": call.meta_xdr if call is not None else None,
        "fee_meta_xdr": xdr.LedgerEntryChanges([]).to_xdr(),
        **_memo(envelope.memo),
        "signatures": _signatures(envelope),
        "preconditions": _preconditions(envelope),
        **_fee_bump(envelope),
    }
    own = {envelope.source, envelope.fee_source}
    return TransactionRecord(
        id=toid,
        hash=envelope.hash.hex(),
        inner_hash=envelope.inner_hash.hex() if envelope.fee_bump is not None else None,
        successful=outcome.successful,
        participants=frozenset(own.union(*(each.participants for each in operations))),
        document=drop_none(document),
        result_codes=outcome.result_codes(),
        diagnostic_events=call.diagnostic_events if call is not None else (),
        contract_failure=call.failure if call is not None else None,
        operations=operations,
    )


def _fee_account(envelope: Envelope) -> dict[str, Any]:
    muxed_id = envelope.source_muxed_id if envelope.fee_bump is None else envelope.fee_bump.source_muxed_id
    return muxed_fields("fee_account", "fee_account", envelope.fee_source, muxed_id)


def _memo(memo: xdr.Memo) -> dict[str, str]:
    if memo.type == xdr.MemoType.MEMO_TEXT and memo.text is not None:
        return {
            "memo_type": "text",
            "memo": memo.text.decode("utf-8", "replace"),
            "memo_bytes": base64.b64encode(memo.text).decode(),
        }
    if memo.type == xdr.MemoType.MEMO_ID and memo.id is not None:
        return {"memo_type": "id", "memo": str(memo.id.uint64)}
    if memo.hash is not None:
        return {"memo_type": "hash", "memo": base64.b64encode(memo.hash.hash).decode()}
    if memo.ret_hash is not None:
        return {"memo_type": "return", "memo": base64.b64encode(memo.ret_hash.hash).decode()}
    return {"memo_type": "none"}


def _signatures(envelope: Envelope) -> list[str]:
    signatures = envelope.signatures if envelope.fee_bump is None else envelope.fee_bump.signatures
    return [base64.b64encode(signature).decode() for _, signature in signatures.signatures]


def _preconditions(envelope: Envelope) -> dict[str, Any] | None:
    bounds = envelope.preconditions
    document: dict[str, Any] = {}
    if bounds.has_time_bounds:
        document["timebounds"] = {"min_time": str(bounds.min_time)}
        if bounds.max_time:
            document["timebounds"]["max_time"] = str(bounds.max_time)
    if bounds.has_ledger_bounds:
        document["ledgerbounds"] = {"min_ledger": bounds.min_ledger, "max_ledger": bounds.max_ledger}
    if bounds.min_sequence is not None:
        document["min_account_sequence"] = str(bounds.min_sequence)
    if bounds.min_sequence_age_s:
        document["min_account_sequence_age"] = str(bounds.min_sequence_age_s)
    if bounds.min_sequence_ledger_gap:
        document["min_account_sequence_ledger_gap"] = bounds.min_sequence_ledger_gap
    return document or None


def _fee_bump(envelope: Envelope) -> dict[str, Any]:
    if envelope.fee_bump is None:
        return {}
    inner_signatures = [base64.b64encode(signature).decode() for _, signature in envelope.signatures.signatures]
    return {
        "fee_bump_transaction": {"hash": envelope.hash.hex(), "signatures": _signatures(envelope)},
        "inner_transaction": {
            "hash": envelope.inner_hash.hex(),
            "signatures": inner_signatures,
            "max_fee": str(envelope.inner_fee),
        },
    }


def _operation_record(applied: AppliedOperation, operation_id: int, application: Application, closed_at: int) -> OperationRecord:
    operation = applied.operation
    fields, others = operation_details(applied)
    document = {
        "id": str(operation_id),
        "paging_token": str(operation_id),
        "transaction_successful": application.outcome.successful,
        **muxed_fields("source_account", "source_account", operation.source, operation.source_muxed_id),
        "type": operation.type.name.lower(),
        "type_i": operation.type.value,
        "created_at": time_text(closed_at),
        "transaction_hash": application.envelope.hash.hex(),
        "sponsor": applied.facts.get("sponsor"),
        **fields,
    }
    successful = application.outcome.successful
    if operation.type == _OP.PATH_PAYMENT_STRICT_SEND and not successful:
        document["amount"] = amount_text(0)
    moved = successful and bool(fields.get("asset_balance_changes"))
    return OperationRecord(
        id=operation_id,
        is_payment=operation.type in _ALWAYS_PAYMENTS or moved,
        participants=frozenset({operation.source, *others}),
        document=drop_none(document),
    )
