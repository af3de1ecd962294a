"""Horizon's fields of each type of operation."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.application import AppliedOperation
from sandbox.ledger.encoding import (
    account_id,
    address_of,
    amount_text,
    asset_fields,
    asset_key,
    issuer_of,
    muxed_account,
    muxed_fields,
    sc_address,
)
from sandbox.ledger.envelope import Operation
from sandbox.ledger.soroban import ContractCall

_OP = xdr.OperationType
Details = tuple[dict[str, Any], set[str]]


def operation_details(applied: AppliedOperation) -> Details:
    """The fields of the operation's type, and the accounts concerned besides its source."""
    describe = _DETAILS.get(applied.operation.type)
    return describe(applied) if describe is not None else ({}, set())


def _create_account(applied: AppliedOperation) -> Details:
    body = applied.operation.body.create_account_op
    assert body is not None
    account = account_id(body.destination)
    starting = amount_text(body.starting_balance.int64)
    return {"starting_balance": starting, "funder": applied.operation.source, "account": account}, {account}


def _payment(applied: AppliedOperation) -> Details:
    body = applied.operation.body.payment_op
    assert body is not None
    return _transfer(applied.operation, body.destination, asset_fields(asset_key(body.asset)), body.amount.int64)


def _transfer(operation: Operation, destination: xdr.MuxedAccount, asset: dict[str, str], amount: int) -> Details:
    to, muxed_id = muxed_account(destination)
    fields = {
        **asset,
        **muxed_fields("from", "from", operation.source, operation.source_muxed_id),
        **muxed_fields("to", "to", to, muxed_id),
        "amount": amount_text(amount),
    }
    return fields, {to}


def _path_receive(applied: AppliedOperation) -> Details:
    body = applied.operation.body.path_payment_strict_receive_op
    assert body is not None
    fields, others = _path_payment(applied.operation, body, body.dest_amount.int64)
    return {**fields, "source_max": amount_text(body.send_max.int64)}, others


def _path_send(applied: AppliedOperation) -> Details:
    body = applied.operation.body.path_payment_strict_send_op
    assert body is not None
    fields, others = _path_payment(applied.operation, body, body.send_amount.int64)
    return {**fields, "destination_min": amount_text(body.dest_min.int64)}, others


def _path_payment(operation: Operation, body: xdr.PathPaymentStrictReceiveOp | xdr.PathPaymentStrictSendOp, amount: int) -> Details:
    """What is sent equals what arrives: paths between different assets never succeed here."""
    fields, others = _transfer(operation, body.destination, asset_fields(asset_key(body.dest_asset)), amount)
    path = {
        **asset_fields(asset_key(body.send_asset), "source_asset_"),
        "source_amount": amount_text(amount),
        "path": [asset_fields(asset_key(each)) for each in body.path],
    }
    return fields | path, others


def _account_merge(applied: AppliedOperation) -> Details:
    operation = applied.operation
    assert operation.body.destination is not None
    into, muxed_id = muxed_account(operation.body.destination)
    merged = muxed_fields("account", "account", operation.source, operation.source_muxed_id)
    return {**merged, **muxed_fields("into", "into", into, muxed_id)}, {into}


def _change_trust(applied: AppliedOperation) -> Details:
    body = applied.operation.body.change_trust_op
    assert body is not None
    asset = asset_key(body.line)
    fields = {"limit": amount_text(body.limit.int64), "trustor": applied.operation.source, "trustee": issuer_of(asset)}
    return {**asset_fields(asset), **fields}, set()


def _begin_sponsoring(applied: AppliedOperation) -> Details:
    body = applied.operation.body.begin_sponsoring_future_reserves_op
    assert body is not None
    sponsored = account_id(body.sponsored_id)
    return {"sponsored_id": sponsored}, {sponsored}


def _end_sponsoring(applied: AppliedOperation) -> Details:
    sponsor: str | None = applied.facts.get("begin_sponsor")
    return ({}, set()) if sponsor is None else ({"begin_sponsor": sponsor}, {sponsor})


def _manage_data(applied: AppliedOperation) -> Details:
    body = applied.operation.body.manage_data_op
    assert body is not None
    value = base64.b64encode(body.data_value.data_value).decode() if body.data_value is not None else None
    return {"name": body.data_name.string64.decode("utf-8", "replace"), "value": value}, set()


def _set_options(applied: AppliedOperation) -> Details:
    options = applied.operation.body.set_options_op
    assert options is not None

    def number(value: xdr.Uint32 | None) -> int | None:
        return None if value is None else value.uint32

    signer = options.signer
    key = signer.key.ed25519 if signer is not None else None
    fields = {
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
    return fields, set()


def _invoke(applied: AppliedOperation) -> Details:
    body = applied.operation.body.invoke_host_function_op
    call: ContractCall | None = applied.facts.get("call")
    assert body is not None
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


_DETAILS: dict[xdr.OperationType, Callable[[AppliedOperation], Details]] = {
    _OP.CREATE_ACCOUNT: _create_account,
    _OP.PAYMENT: _payment,
    _OP.PATH_PAYMENT_STRICT_RECEIVE: _path_receive,
    _OP.PATH_PAYMENT_STRICT_SEND: _path_send,
    _OP.ACCOUNT_MERGE: _account_merge,
    _OP.CHANGE_TRUST: _change_trust,
    _OP.BEGIN_SPONSORING_FUTURE_RESERVES: _begin_sponsoring,
    _OP.END_SPONSORING_FUTURE_RESERVES: _end_sponsoring,
    _OP.SET_OPTIONS: _set_options,
    _OP.MANAGE_DATA: _manage_data,
    _OP.INVOKE_HOST_FUNCTION: _invoke,
}
