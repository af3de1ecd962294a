"""Which operations this network knows, which shapes of them are malformed, and which threshold they need."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from stellar_sdk import xdr

from sandbox.ledger import account_options, payments, soroban
from sandbox.ledger.context import OperationContext
from sandbox.ledger.encoding import account_id, asset_key, issuer_of, muxed_account
from sandbox.ledger.entries import NATIVE
from sandbox.ledger.envelope import Operation
from sandbox.ledger.results import OperationOutcome, OperationRefused

MAX_WEIGHT = 255
ALL_ACCOUNT_FLAGS = 0xF
_OP = xdr.OperationType
_APPLY: dict[xdr.OperationType, Callable[[OperationContext], OperationOutcome]] = {
    _OP.CREATE_ACCOUNT: payments.create_account,
    _OP.PAYMENT: payments.payment,
    _OP.PATH_PAYMENT_STRICT_RECEIVE: payments.path_payment_strict_receive,
    _OP.PATH_PAYMENT_STRICT_SEND: payments.path_payment_strict_send,
    _OP.ACCOUNT_MERGE: payments.account_merge,
    _OP.CHANGE_TRUST: account_options.change_trust,
    _OP.BEGIN_SPONSORING_FUTURE_RESERVES: account_options.begin_sponsoring,
    _OP.END_SPONSORING_FUTURE_RESERVES: account_options.end_sponsoring,
    _OP.SET_OPTIONS: account_options.set_options,
    _OP.MANAGE_DATA: account_options.manage_data,
    _OP.INVOKE_HOST_FUNCTION: soroban.invoke_host_function,
}


def apply_operation(context: OperationContext) -> OperationOutcome:
    """Raises OperationRefused."""
    return _APPLY[context.operation.type](context)


def threshold_of(operation: Operation, thresholds: tuple[int, int, int]) -> int:
    _, medium, high = thresholds
    if operation.type == _OP.ACCOUNT_MERGE:
        return high
    options = operation.body.set_options_op
    if options is not None:
        sensitive = (options.master_weight, options.low_threshold, options.med_threshold, options.high_threshold)
        return high if options.signer is not None or any(each is not None for each in sensitive) else medium
    return medium


def check_shape(operation: Operation) -> None:
    """What stellar-core refuses before an operation may even be queued; raises OperationRefused."""
    if operation.type not in _APPLY:
        raise OperationRefused(xdr.OperationResultCode.opNOT_SUPPORTED)
    find_fault = _FAULTS.get(operation.type)
    fault = find_fault(operation) if find_fault is not None else None
    if fault is not None:
        raise OperationRefused(fault)


def _create_account_fault(operation: Operation) -> IntEnum | None:
    create = operation.body.create_account_op
    assert create is not None
    malformed = create.starting_balance.int64 < 0 or account_id(create.destination) == operation.source
    return xdr.CreateAccountResultCode.CREATE_ACCOUNT_MALFORMED if malformed else None


def _payment_fault(operation: Operation) -> IntEnum | None:
    body = operation.body.payment_op
    assert body is not None
    malformed = body.amount.int64 <= 0 or not _valid_asset(body.asset)
    return xdr.PaymentResultCode.PAYMENT_MALFORMED if malformed else None


def _path_receive_fault(operation: Operation) -> IntEnum | None:
    body = operation.body.path_payment_strict_receive_op
    assert body is not None
    valid = min(body.dest_amount.int64, body.send_max.int64) > 0 and _valid_path(body)
    return None if valid else xdr.PathPaymentStrictReceiveResultCode.PATH_PAYMENT_STRICT_RECEIVE_MALFORMED


def _path_send_fault(operation: Operation) -> IntEnum | None:
    body = operation.body.path_payment_strict_send_op
    assert body is not None
    valid = min(body.send_amount.int64, body.dest_min.int64) > 0 and _valid_path(body)
    return None if valid else xdr.PathPaymentStrictSendResultCode.PATH_PAYMENT_STRICT_SEND_MALFORMED


def _trust_fault(operation: Operation) -> IntEnum | None:
    codes = xdr.ChangeTrustResultCode
    body = operation.body.change_trust_op
    assert body is not None
    if not _valid_asset(body.line) or asset_key(body.line) == NATIVE or body.limit.int64 < 0:
        return codes.CHANGE_TRUST_MALFORMED
    return codes.CHANGE_TRUST_SELF_NOT_ALLOWED if issuer_of(asset_key(body.line)) == operation.source else None


def _merge_fault(operation: Operation) -> IntEnum | None:
    destination = operation.body.destination
    assert destination is not None
    to_itself = muxed_account(destination)[0] == operation.source
    return xdr.AccountMergeResultCode.ACCOUNT_MERGE_MALFORMED if to_itself else None


def _begin_sponsoring_fault(operation: Operation) -> IntEnum | None:
    body = operation.body.begin_sponsoring_future_reserves_op
    assert body is not None
    codes = xdr.BeginSponsoringFutureReservesResultCode
    to_itself = account_id(body.sponsored_id) == operation.source
    return codes.BEGIN_SPONSORING_FUTURE_RESERVES_MALFORMED if to_itself else None


def _options_fault(operation: Operation) -> IntEnum | None:
    codes = xdr.SetOptionsResultCode
    options = operation.body.set_options_op
    assert options is not None
    weights = (options.master_weight, options.low_threshold, options.med_threshold, options.high_threshold)
    if any(each is not None and each.uint32 > MAX_WEIGHT for each in weights):
        return codes.SET_OPTIONS_THRESHOLD_OUT_OF_RANGE
    if options.signer is not None and options.signer.weight.uint32 > MAX_WEIGHT:
        return codes.SET_OPTIONS_BAD_SIGNER
    flags = [each.uint32 for each in (options.set_flags, options.clear_flags) if each is not None]
    if any(each & ~ALL_ACCOUNT_FLAGS for each in flags):
        return codes.SET_OPTIONS_UNKNOWN_FLAG
    return codes.SET_OPTIONS_BAD_FLAGS if len(flags) == 2 and flags[0] & flags[1] else None


def _data_fault(operation: Operation) -> IntEnum | None:
    body = operation.body.manage_data_op
    assert body is not None
    return None if body.data_name.string64 else xdr.ManageDataResultCode.MANAGE_DATA_INVALID_NAME


def _call_fault(operation: Operation) -> IntEnum | None:
    """Calls only: nobody uploads code here, the network is born with the contracts it has."""
    body = operation.body.invoke_host_function_op
    assert body is not None
    return xdr.OperationResultCode.opNOT_SUPPORTED if body.host_function.invoke_contract is None else None


_FAULTS: dict[xdr.OperationType, Callable[[Operation], IntEnum | None]] = {
    _OP.CREATE_ACCOUNT: _create_account_fault,
    _OP.PAYMENT: _payment_fault,
    _OP.PATH_PAYMENT_STRICT_RECEIVE: _path_receive_fault,
    _OP.PATH_PAYMENT_STRICT_SEND: _path_send_fault,
    _OP.CHANGE_TRUST: _trust_fault,
    _OP.ACCOUNT_MERGE: _merge_fault,
    _OP.BEGIN_SPONSORING_FUTURE_RESERVES: _begin_sponsoring_fault,
    _OP.SET_OPTIONS: _options_fault,
    _OP.MANAGE_DATA: _data_fault,
    _OP.INVOKE_HOST_FUNCTION: _call_fault,
}


def _valid_path(body: xdr.PathPaymentStrictReceiveOp | xdr.PathPaymentStrictSendOp) -> bool:
    return all(_valid_asset(each) for each in (body.send_asset, body.dest_asset, *body.path))


def _valid_asset(asset: xdr.Asset | xdr.ChangeTrustAsset) -> bool:
    try:
        asset_key(asset)
    except ValueError:
        return False
    return True
