"""Outcomes of transactions and operations: the XDR of ``TransactionResult`` and Horizon's texts for its codes."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Any

from stellar_sdk import xdr

_OP = xdr.OperationType
_TX = xdr.TransactionResultCode
_RESULTS: dict[xdr.OperationType, tuple[str, Any, Any]] = {
    _OP.CREATE_ACCOUNT: ("create_account_result", xdr.CreateAccountResult, xdr.CreateAccountResultCode),
    _OP.PAYMENT: ("payment_result", xdr.PaymentResult, xdr.PaymentResultCode),
    _OP.PATH_PAYMENT_STRICT_RECEIVE: (
        "path_payment_strict_receive_result",
        xdr.PathPaymentStrictReceiveResult,
        xdr.PathPaymentStrictReceiveResultCode,
    ),
    _OP.PATH_PAYMENT_STRICT_SEND: (
        "path_payment_strict_send_result",
        xdr.PathPaymentStrictSendResult,
        xdr.PathPaymentStrictSendResultCode,
    ),
    _OP.SET_OPTIONS: ("set_options_result", xdr.SetOptionsResult, xdr.SetOptionsResultCode),
    _OP.CHANGE_TRUST: ("change_trust_result", xdr.ChangeTrustResult, xdr.ChangeTrustResultCode),
    _OP.ACCOUNT_MERGE: ("account_merge_result", xdr.AccountMergeResult, xdr.AccountMergeResultCode),
    _OP.MANAGE_DATA: ("manage_data_result", xdr.ManageDataResult, xdr.ManageDataResultCode),
    _OP.BEGIN_SPONSORING_FUTURE_RESERVES: (
        "begin_sponsoring_future_reserves_result",
        xdr.BeginSponsoringFutureReservesResult,
        xdr.BeginSponsoringFutureReservesResultCode,
    ),
    _OP.END_SPONSORING_FUTURE_RESERVES: (
        "end_sponsoring_future_reserves_result",
        xdr.EndSponsoringFutureReservesResult,
        xdr.EndSponsoringFutureReservesResultCode,
    ),
    _OP.INVOKE_HOST_FUNCTION: (
        "invoke_host_function_result",
        xdr.InvokeHostFunctionResult,
        xdr.InvokeHostFunctionResultCode,
    ),
}

_TRANSACTION_TEXTS = {
    "txNO_ACCOUNT": "tx_no_source_account",
    "txFEE_BUMP_INNER_SUCCESS": "tx_fee_bump_inner_success",
    "txFEE_BUMP_INNER_FAILED": "tx_fee_bump_inner_failed",
}
_OPERATION_TEXTS = {
    "opINNER": "op_inner",
    "opNO_ACCOUNT": "op_no_source_account",
    "CREATE_ACCOUNT_ALREADY_EXIST": "op_already_exists",
    "CHANGE_TRUST_TRUST_LINE_MISSING": "op_trust_line_missing",
    "PATH_PAYMENT_STRICT_RECEIVE_OVER_SENDMAX": "op_over_source_max",
    "PATH_PAYMENT_STRICT_SEND_UNDER_DESTMIN": "op_under_dest_min",
    "MANAGE_DATA_NAME_NOT_FOUND": "op_data_name_not_found",
    "MANAGE_DATA_INVALID_NAME": "op_data_invalid_name",
    "INVOKE_HOST_FUNCTION_MALFORMED": "op_malformed",
    "INVOKE_HOST_FUNCTION_TRAPPED": "function_trapped",
    "INVOKE_HOST_FUNCTION_RESOURCE_LIMIT_EXCEEDED": "resource_limit_exceeded",
    "INVOKE_HOST_FUNCTION_ENTRY_ARCHIVED": "entry_archived",
    "INVOKE_HOST_FUNCTION_INSUFFICIENT_REFUNDABLE_FEE": "insufficient_refundable_fee",
}


class OperationRefused(Exception):
    """An operation's result code other than success: an ``OperationResultCode`` or one of the operation's own codes."""

    def __init__(self, code: IntEnum) -> None:
        super().__init__(code.name)
        self.code = code


class TransactionRefused(Exception):
    """A transaction that is not valid as it stands; ``required_fee`` is reported with ``txINSUFFICIENT_FEE``."""

    def __init__(
        self,
        code: xdr.TransactionResultCode,
        operations: tuple[OperationOutcome, ...] = (),
        required_fee: int = 0,
        *,
        inner: bool = False,
    ) -> None:
        super().__init__(code.name)
        self.code = code
        self.operations = operations
        self.required_fee = required_fee
        self.inner = inner


@dataclass(frozen=True)
class OperationOutcome:
    """One operation's result with Horizon's text for it."""

    text: str
    result: xdr.OperationResult

    @property
    def successful(self) -> bool:
        return self.text == "op_success"


def operation_outcome(operation_type: xdr.OperationType, code: IntEnum | None, **payload: object) -> OperationOutcome:
    """``code`` None is success; ``payload`` are the fields some success results carry."""
    if isinstance(code, xdr.OperationResultCode):
        return OperationOutcome(_operation_text(code), xdr.OperationResult(code))
    attribute, result_type, codes = _RESULTS[operation_type]
    result = result_type(codes(0) if code is None else code, **payload)
    inner = xdr.OperationResultTr(operation_type, **{attribute: result})
    text = "op_success" if code is None else _operation_text(code)
    return OperationOutcome(text, xdr.OperationResult(xdr.OperationResultCode.opINNER, inner))


def untouched_outcome(operation_type: xdr.OperationType) -> OperationOutcome:
    """The result of a valid operation that stands beside an invalid one: success, with nothing in it."""
    zero = xdr.Uint256(bytes(32))
    payload: dict[str, Any] = {}
    if operation_type == _OP.ACCOUNT_MERGE:
        payload = {"source_account_balance": xdr.Int64(0)}
    elif operation_type == _OP.INVOKE_HOST_FUNCTION:
        payload = {"success": xdr.Hash(bytes(32))}
    elif operation_type in (_OP.PATH_PAYMENT_STRICT_RECEIVE, _OP.PATH_PAYMENT_STRICT_SEND):
        nobody = xdr.AccountID(xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, zero))
        last = xdr.SimplePaymentResult(nobody, xdr.Asset(xdr.AssetType.ASSET_TYPE_NATIVE), xdr.Int64(0))
        receive = operation_type == _OP.PATH_PAYMENT_STRICT_RECEIVE
        kind = xdr.PathPaymentStrictReceiveResultSuccess if receive else xdr.PathPaymentStrictSendResultSuccess
        payload = {"success": kind([], last)}
    return operation_outcome(operation_type, None, **payload)


def _operation_text(code: IntEnum) -> str:
    known = _OPERATION_TEXTS.get(code.name)
    if known is not None:
        return known
    if isinstance(code, xdr.OperationResultCode):
        return "op_" + code.name.removeprefix("op").lower()
    prefix = next(kind.name for kind, (_, _, codes) in _RESULTS.items() if isinstance(code, codes))
    return "op_" + code.name.removeprefix(prefix + "_").lower()


def operation_code(text: str, operation_type: xdr.OperationType) -> IntEnum | None:
    """The failure an operation of this type can end with under this text."""
    _, _, codes = _RESULTS[operation_type]
    return next((code for code in _failures(codes) if _operation_text(code) == text), None)


@cache
def operation_texts() -> tuple[str, ...]:
    """Of every failure of every operation known here."""
    found = [_operation_text(code) for _, _, codes in _RESULTS.values() for code in _failures(codes)]
    return tuple(dict.fromkeys(found))


def _failures(codes: type[IntEnum]) -> list[IntEnum]:
    return [*(code for code in xdr.OperationResultCode if code < 0), *(code for code in codes if code < 0)]


@cache
def transaction_texts() -> dict[str, xdr.TransactionResultCode]:
    """Refusals of a whole transaction, by their texts: what says how its operations ended is none."""
    others = {_TX.txSUCCESS, _TX.txFAILED, _TX.txFEE_BUMP_INNER_SUCCESS, _TX.txFEE_BUMP_INNER_FAILED}
    return {transaction_text(code): code for code in _TX if code not in others}


def transaction_text(code: xdr.TransactionResultCode) -> str:
    return _TRANSACTION_TEXTS.get(code.name) or "tx_" + code.name.removeprefix("tx").lower()


@dataclass(frozen=True)
class TransactionOutcome:
    """The end of a transaction: what Horizon reports as result_codes and result_xdr.

    ``inner_hash`` is set for fee bumps whose inner transaction was reached; ``code`` is then the inner code.
    """

    code: xdr.TransactionResultCode
    fee_charged: int
    operations: tuple[OperationOutcome, ...] = ()
    inner_hash: bytes | None = None

    @property
    def successful(self) -> bool:
        return self.code == xdr.TransactionResultCode.txSUCCESS

    def result_codes(self) -> dict[str, Any]:
        codes: dict[str, Any] = {"transaction": transaction_text(self.code)}
        if self.inner_hash is not None:
            outer = "tx_fee_bump_inner_success" if self.successful else "tx_fee_bump_inner_failed"
            codes = {"transaction": outer, "inner_transaction": codes["transaction"]}
        if self.operations:
            codes["operations"] = [operation.text for operation in self.operations]
        return codes

    def result_xdr(self) -> str:
        has_results = self.code in (xdr.TransactionResultCode.txSUCCESS, xdr.TransactionResultCode.txFAILED)
        results = [operation.result for operation in self.operations] if has_results else None
        if self.inner_hash is None:
            result = xdr.TransactionResultResult(self.code, results=results)
        else:
            inner = xdr.InnerTransactionResult(
                xdr.Int64(0),
                xdr.InnerTransactionResultResult(self.code, results=results),
                xdr.InnerTransactionResultExt(0),
            )
            code = (
                xdr.TransactionResultCode.txFEE_BUMP_INNER_SUCCESS if self.successful else xdr.TransactionResultCode.txFEE_BUMP_INNER_FAILED
            )
            result = xdr.TransactionResultResult(code, inner_result_pair=xdr.InnerTransactionResultPair(xdr.Hash(self.inner_hash), inner))
        return xdr.TransactionResult(xdr.Int64(self.fee_charged), result, xdr.TransactionResultExt(0)).to_xdr()
