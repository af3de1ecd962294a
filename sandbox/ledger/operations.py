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
    low, medium, high = thresholds
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
    refusal = _malformed(operation)
    if refusal is not None:
        raise OperationRefused(refusal)


def _malformed(operation: Operation) -> IntEnum | None:
    body = operation.body
    if body.create_account_op is not None:
        create = body.create_account_op
        malformed = create.starting_balance.int64 < 0 or account_id(create.destination) == operation.source
        return xdr.CreateAccountResultCode.CREATE_ACCOUNT_MALFORMED if malformed else None
    if body.payment_op is not None:
        malformed = body.payment_op.amount.int64 <= 0 or not _valid_asset(body.payment_op.asset)
        return xdr.PaymentResultCode.PAYMENT_MALFORMED if malformed else None
    if body.path_payment_strict_receive_op is not None:
        receive = body.path_payment_strict_receive_op
        malformed = min(receive.dest_amount.int64, receive.send_max.int64) <= 0
        return xdr.PathPaymentStrictReceiveResultCode.PATH_PAYMENT_STRICT_RECEIVE_MALFORMED if malformed else None
    if body.path_payment_strict_send_op is not None:
        send = body.path_payment_strict_send_op
        malformed = min(send.send_amount.int64, send.dest_min.int64) <= 0
        return xdr.PathPaymentStrictSendResultCode.PATH_PAYMENT_STRICT_SEND_MALFORMED if malformed else None
    if body.change_trust_op is not None:
        return _malformed_trust(operation, body.change_trust_op)
    if body.destination is not None:
        to_itself = muxed_account(body.destination)[0] == operation.source
        return xdr.AccountMergeResultCode.ACCOUNT_MERGE_MALFORMED if to_itself else None
    if body.begin_sponsoring_future_reserves_op is not None:
        to_itself = account_id(body.begin_sponsoring_future_reserves_op.sponsored_id) == operation.source
        codes = xdr.BeginSponsoringFutureReservesResultCode
        return codes.BEGIN_SPONSORING_FUTURE_RESERVES_MALFORMED if to_itself else None
    if body.set_options_op is not None:
        return _malformed_options(body.set_options_op)
    if body.manage_data_op is not None and not body.manage_data_op.data_name.string64:
        return xdr.ManageDataResultCode.MANAGE_DATA_INVALID_NAME
    if body.invoke_host_function_op is not None and body.invoke_host_function_op.host_function.invoke_contract is None:
        return xdr.OperationResultCode.opNOT_SUPPORTED
    return None


def _malformed_trust(operation: Operation, trust: xdr.ChangeTrustOp) -> IntEnum | None:
    codes = xdr.ChangeTrustResultCode
    try:
        asset = asset_key(trust.line)
    except ValueError:
        return codes.CHANGE_TRUST_MALFORMED
    if asset == NATIVE or trust.limit.int64 < 0:
        return codes.CHANGE_TRUST_MALFORMED
    return codes.CHANGE_TRUST_SELF_NOT_ALLOWED if issuer_of(asset) == operation.source else None


def _malformed_options(options: xdr.SetOptionsOp) -> IntEnum | None:
    codes = xdr.SetOptionsResultCode
    weights = (options.master_weight, options.low_threshold, options.med_threshold, options.high_threshold)
    if any(each is not None and each.uint32 > 255 for each in weights):
        return codes.SET_OPTIONS_THRESHOLD_OUT_OF_RANGE
    if options.signer is not None and options.signer.weight.uint32 > 255:
        return codes.SET_OPTIONS_BAD_SIGNER
    flags = [each.uint32 for each in (options.set_flags, options.clear_flags) if each is not None]
    if any(each & ~0xF for each in flags):
        return codes.SET_OPTIONS_UNKNOWN_FLAG
    return codes.SET_OPTIONS_BAD_FLAGS if len(flags) == 2 and flags[0] & flags[1] else None


def _valid_asset(asset: xdr.Asset) -> bool:
    try:
        asset_key(asset)
    except ValueError:
        return False
    return True
