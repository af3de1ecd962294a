"""Horizon's records of an applied transaction and its operations, without the links that depend on the request."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.application import Application, AppliedOperation
from sandbox.ledger.encoding import (
    account_id,
    address_of,
    amount_text,
    asset_fields,
    asset_key,
    drop_none,
    issuer_of,
    muxed_account,
    sc_address,
    time_text,
)
from sandbox.ledger.envelope import Envelope, Operation
from sandbox.ledger.soroban import ContractCall

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
    """``document`` is the resource as asked for by the outer hash; ``application_order`` counts from 1."""

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
        _operation_record(each, toid + index, application, closed_at)
        for index, each in enumerate(application.operations, start=1)
    )
    call = application.contract_call
    document = {
        "id": envelope.hash.hex(),
        "paging_token": str(toid),
        "successful": outcome.successful,
        "hash": envelope.hash.hex(),
        "ledger": ledger,
        "created_at": time_text(closed_at),
        **_source_fields("source_account", "account", envelope.source, envelope.source_muxed_id),
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


def _source_fields(name: str, muxed_name: str, address: str, muxed_id: int | None) -> dict[str, Any]:
    if muxed_id is None:
        return {name: address}
    from stellar_sdk import MuxedAccount

    muxed = MuxedAccount(address, muxed_id).account_muxed
    return {name: address, f"{muxed_name}_muxed": muxed, f"{muxed_name}_muxed_id": str(muxed_id)}


def _fee_account(envelope: Envelope) -> dict[str, Any]:
    muxed_id = envelope.source_muxed_id if envelope.fee_bump is None else envelope.fee_bump.source_muxed_id
    return _source_fields("fee_account", "fee_account", envelope.fee_source, muxed_id)


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


def _operation_record(
    applied: AppliedOperation, operation_id: int, application: Application, closed_at: int
) -> OperationRecord:
    operation = applied.operation
    call: ContractCall | None = applied.facts.get("call")
    details, others = _details(operation, call)
    document = {
        "id": str(operation_id),
        "paging_token": str(operation_id),
        "transaction_successful": application.outcome.successful,
        **_source_fields("source_account", "source_account", operation.source, operation.source_muxed_id),
        "type": operation.type.name.lower(),
        "type_i": operation.type.value,
        "created_at": time_text(closed_at),
        "transaction_hash": application.envelope.hash.hex(),
        "sponsor": applied.facts.get("sponsor"),
        "begin_sponsor": applied.facts.get("begin_sponsor"),
        **details,
    }
    moved = call is not None and bool(call.balance_changes) and application.outcome.successful
    return OperationRecord(
        id=operation_id,
        is_payment=operation.type in _ALWAYS_PAYMENTS or moved,
        participants=frozenset({operation.source, *others}),
        document=drop_none(document),
    )


def _details(operation: Operation, call: ContractCall | None) -> tuple[dict[str, Any], set[str]]:
    """Horizon's fields of the operation's type, and the accounts concerned besides its source."""
    body = operation.body
    if body.create_account_op is not None:
        account = account_id(body.create_account_op.destination)
        starting = amount_text(body.create_account_op.starting_balance.int64)
        return {"starting_balance": starting, "funder": operation.source, "account": account}, {account}
    if body.payment_op is not None:
        asset = asset_fields(asset_key(body.payment_op.asset))
        return _transfer(operation, body.payment_op.destination, asset, body.payment_op.amount.int64)
    if body.path_payment_strict_receive_op is not None or body.path_payment_strict_send_op is not None:
        return _path_payment(operation)
    if body.destination is not None:
        into, muxed_id = muxed_account(body.destination)
        merged = _source_fields("account", "account", operation.source, operation.source_muxed_id)
        return {**merged, **_source_fields("into", "into", into, muxed_id)}, {into}
    if body.change_trust_op is not None:
        asset_text = asset_key(body.change_trust_op.line)
        fields = {"limit": amount_text(body.change_trust_op.limit.int64), "trustor": operation.source}
        return {**asset_fields(asset_text), **fields, "trustee": issuer_of(asset_text)}, set()
    if body.begin_sponsoring_future_reserves_op is not None:
        sponsored = account_id(body.begin_sponsoring_future_reserves_op.sponsored_id)
        return {"sponsored_id": sponsored}, {sponsored}
    if body.set_options_op is not None:
        return _options(body.set_options_op), set()
    if body.manage_data_op is not None:
        data, value = body.manage_data_op, body.manage_data_op.data_value
        text = base64.b64encode(value.data_value).decode() if value is not None else None
        return {"name": data.data_name.string64.decode("utf-8", "replace"), "value": text}, set()
    if body.invoke_host_function_op is not None:
        return _invocation(body.invoke_host_function_op, call)
    return {}, set()


def _transfer(
    operation: Operation, destination: xdr.MuxedAccount, asset: dict[str, str], amount: int
) -> tuple[dict[str, Any], set[str]]:
    to, muxed_id = muxed_account(destination)
    fields = {
        **asset,
        **_source_fields("from", "from", operation.source, operation.source_muxed_id),
        **_source_fields("to", "to", to, muxed_id),
        "amount": amount_text(amount),
    }
    return fields, {to}


def _path_payment(operation: Operation) -> tuple[dict[str, Any], set[str]]:
    receive, send = operation.body.path_payment_strict_receive_op, operation.body.path_payment_strict_send_op
    body = receive if receive is not None else send
    assert body is not None
    amount = receive.dest_amount.int64 if receive is not None else send.send_amount.int64 if send is not None else 0
    fields, others = _transfer(operation, body.destination, asset_fields(asset_key(body.dest_asset)), amount)
    fields |= {
        **asset_fields(asset_key(body.send_asset), "source_asset_"),
        "source_amount": amount_text(amount),
        "path": [asset_fields(asset_key(each)) for each in body.path],
    }
    if receive is not None:
        fields["source_max"] = amount_text(receive.send_max.int64)
    elif send is not None:
        fields["destination_min"] = amount_text(send.dest_min.int64)
    return fields, others


def _options(options: xdr.SetOptionsOp) -> dict[str, Any]:
    def number(value: xdr.Uint32 | None) -> int | None:
        return None if value is None else value.uint32

    signer = options.signer
    key = signer.key.ed25519 if signer is not None else None
    return {
        "inflation_dest": account_id(options.inflation_dest) if options.inflation_dest is not None else None,
        "set_flags": [number(options.set_flags)] if options.set_flags is not None else None,
        "clear_flags": [number(options.clear_flags)] if options.clear_flags is not None else None,
        "master_key_weight": number(options.master_weight),
        "low_threshold": number(options.low_threshold),
        "med_threshold": number(options.med_threshold),
        "high_threshold": number(options.high_threshold),
        "home_domain": options.home_domain.string32.decode("ascii", "replace") if options.home_domain else None,
        "signer_key": address_of(key.uint256) if key is not None else None,
        "signer_weight": signer.weight.uint32 if signer is not None and key is not None else None,
    }


def _invocation(body: xdr.InvokeHostFunctionOp, call: ContractCall | None) -> tuple[dict[str, Any], set[str]]:
    invoked = body.host_function.invoke_contract
    assert invoked is not None
    contract = xdr.SCVal(xdr.SCValType.SCV_ADDRESS, address=invoked.contract_address)
    function = xdr.SCVal(xdr.SCValType.SCV_SYMBOL, sym=invoked.function_name)
    parameters = [_parameter(each) for each in (contract, function, *invoked.args)]
    changes = call.balance_changes if call is not None else []
    holders = {each[side] for each in changes for side in ("from", "to") if side in each}
    fields = {
        "function": "HostFunctionTypeHostFunctionTypeInvokeContract",
        "parameters": parameters,
        "address": sc_address(invoked.contract_address),
        "salt": "",
        "asset_balance_changes": changes,
    }
    return fields, {each for each in holders if each.startswith("G")}


_PARAMETER_TYPES = {"SCV_SYMBOL": "Sym", "SCV_ADDRESS": "Address", "SCV_STRING": "Str"}


def _parameter(value: xdr.SCVal) -> dict[str, str]:
    name = value.type.name
    return {"type": _PARAMETER_TYPES.get(name) or name.removeprefix("SCV_").capitalize(), "value": value.to_xdr()}
