"""Why the ledger refused a transaction, in words: result codes and, where the host left a trace, the escrow contract's own error."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from stellar_sdk import StrKey, xdr

from offerhub.stellar.horizon_records import TransactionRecord

# Single-release contract, V1 (``reference/trustless-work.md`` §9.5). The number is the position.
_ESCROW_ERRORS = """
AmountCannotBeZero EscrowAlreadyInitialized EscrowNotFound OnlyReleaseSignerCanReleaseEarnings EscrowNotCompleted
EscrowBalanceNotEnoughToSendEarnings OnlyPlatformAddressExecuteThisFunction OnlyServiceProviderChangeMilstoneStatus
NoMilestoneDefined InvalidMileStoneIndex OnlyApproverChangeMilstoneFlag OnlyDisputeResolverCanExecuteThisFunction
EscrowAlreadyInDispute EscrowNotInDispute InsufficientFundsForResolution EscrowOpenedForDisputeResolution Overflow Underflow
DivisionError InsufficientApproverFundsForCommissions InsufficientServiceProviderFundsForCommissions
MilestoneApprovedCantChangeEscrowProperties EscrowHasFunds EscrowAlreadyResolved TooManyEscrowsRequested
UnauthorizedToChangeDisputeFlag TooManyMilestones ReceiverAndApproverFundsNotEqual MilestoneHasAlreadyBeenApproved
EmptyMilestoneStatus PlatformFeeTooHigh FlagsMustBeFalse EscrowPropertiesMismatch ApproverOrReceiverFundsLessThanZero
EscrowAlreadyReleased IncompatibleEscrowWasmHash PlatformAddressCannotBeChanged AmountsToBeTransferredShouldBePositive
DistributionsMustEqualEscrowBalance DisputeResolverCannotDisputeTheEscrow TotalAmountCannotBeZero
InsufficientFundsForEscrowFunding MilestoneToApproveDoesNotExist EscrowNotFullyProcessed TooManyDistributions
MilestoneToUpdateDoesNotExist
""".split()  # noqa: SIM905 - a list of 46 quoted lines reads worse
# Multi-release contract, its newest build. Builds number them differently, so a number alone is only ever a hint here.
_NEWEST_MULTI_RELEASE_ERRORS = """
AmountCannotBeZero AmountsToBeTransferredShouldBePositive ApproverOrReceiverFundsLessThanZero CantReleaseAMilestoneInDispute
DisputeResolverCannotDisputeTheMilestone DivisionError EmptyMilestoneStatus EscrowAlreadyInitialized EscrowAlreadyResolved
EscrowBalanceMustBeZeroOnInitialization EscrowBalanceNotEnoughToSendEarnings EscrowHasFunds EscrowNotFound EscrowNotFullyProcessed
EscrowPropertiesMismatch FlagsMustBeFalse InsufficientApproverFundsForCommissions InsufficientEscrowFundsToMakeTheRefund
InsufficientFundsForEscrowFunding InsufficientFundsForRefund InsufficientFundsForResolution InsufficientServiceProviderFundsForCommissions
InvalidMileStoneIndex MilestoneAlreadyInDispute MilestoneAlreadyReleased MilestoneAlreadyResolved
MilestoneApprovedCantChangeEscrowProperties MilestoneHasAlreadyBeenApproved MilestoneNotCompleted MilestoneNotFound MilestoneNotInDispute
MilestoneOpenedForDisputeResolution MilestoneToApproveDoesNotExist MilestoneToUpdateDoesNotExist NoMileStoneDefined
OnlyApproverChangeMilstoneFlag OnlyDisputeResolverCanExecuteThisFunction OnlyPlatformAddressExecuteThisFunction
OnlyReleaseSignerCanReleaseEarnings OnlyServiceProviderChangeMilstoneStatus Overflow PlatformAddressCannotBeChanged PlatformFeeTooHigh
TooManyEscrowsRequested TooManyMilestones TooManyDistributions TotalAmountCannotBeZero TotalDisputeFundsMustNotExceedTheMilestoneAmount
UnauthorizedToChangeDisputeFlag Underflow
""".split()  # noqa: SIM905 - as above
_ESCROW_NAMES = frozenset(_ESCROW_ERRORS) | frozenset(_NEWEST_MULTI_RELEASE_ERRORS)
# The asset's own contract (SAC), which numbers its errors too.
_TOKEN_ERRORS = """
InternalError OperationNotSupportedError AlreadyInitializedError UnauthorizedError AuthenticationError AccountMissingError
AccountIsNotClassic NegativeAmountError AllowanceError BalanceError BalanceDeauthorizedError OverflowError TrustlineMissingError
""".split()  # noqa: SIM905 - as above
_UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Trace:
    """Diagnostic events (base64 XDR) of a submit answer, and whose errors they may be: the token's have their own numbers.

    ``is_multi_release``: what was called is a multi-release escrow, whose numbers do not tell the error.
    """

    diagnostic_events: tuple[str, ...] = ()
    token_contract: str | None = None
    is_multi_release: bool = False


@dataclass(frozen=True)
class ContractError:
    """``probably`` stands in for a name that is not certain."""

    number: int
    name: str | None
    probably: str | None = None

    @property
    def sentence(self) -> str:
        guess = f", which the newest build calls {self.probably}" if self.probably else ""
        return f"The contract refused: {self.name or 'unknown error'} (#{self.number}{guess})."


@dataclass(frozen=True)
class Failure:
    """``codes`` are Horizon's spellings, outermost first."""

    codes: tuple[str, ...]
    contract_error: ContractError | None
    sentence: str


def read_failure(record: TransactionRecord, trace: Trace) -> Failure:
    codes = _result_codes(record.result_xdr)
    error = _contract_error(record.result_meta_xdr, trace)
    if error is None:
        return Failure(codes, None, f"The ledger refused the transaction: {', '.join(codes)}.")
    return Failure(codes, error, error.sentence)


def _result_codes(result_xdr: str) -> tuple[str, ...]:
    try:
        result = xdr.TransactionResult.from_xdr(result_xdr)
    except Exception:  # noqa: BLE001 - text of a remote server; the outcome does not hang on it
        return (_UNREADABLE,)
    codes = [_spelled(result.result.code.name)]
    operations = result.result.results
    pair = result.result.inner_result_pair
    if pair is not None:
        codes.append(_spelled(pair.result.result.code.name))
        operations = pair.result.result.results
    codes += [code for code in map(_operation_code, operations or []) if code is not None]
    return tuple(codes)


def _operation_code(operation: xdr.OperationResult) -> str | None:
    if operation.tr is None:
        return _spelled(operation.code.name)
    if operation.tr.payment_result is not None:
        return f"op_{operation.tr.payment_result.code.name.removeprefix('PAYMENT_').lower()}"
    if operation.tr.invoke_host_function_result is None:
        return None
    return operation.tr.invoke_host_function_result.code.name.removeprefix("INVOKE_HOST_FUNCTION_").lower()


def _spelled(code: str) -> str:
    """``txBAD_SEQ`` → ``tx_bad_seq``, ``txFAILED`` → ``tx_failed``, ``opBAD_AUTH`` → ``op_bad_auth``."""
    return re.sub(r"^(tx|op)", r"\1_", code).lower()


def _contract_error(result_meta_xdr: str | None, trace: Trace) -> ContractError | None:
    """The first contract error the host reported: the innermost, for it reports a failure from the inside out."""
    for event in [*_events_of(trace.diagnostic_events), *_events_of_meta(result_meta_xdr)]:
        body = event.event.body.v0
        for value in [*body.topics, body.data] if body is not None else []:
            if value.error is not None and value.error.contract_code is not None:
                return _named(value.error.contract_code.uint32, event, trace)
    return None


def _named(number: int, event: xdr.DiagnosticEvent, trace: Trace) -> ContractError:
    if trace.token_contract and _emitter(event) == trace.token_contract:
        return ContractError(number, _at(_TOKEN_ERRORS, number))
    spelled_out = _name_in(event)
    if spelled_out or not trace.is_multi_release:
        return ContractError(number, spelled_out or _at(_ESCROW_ERRORS, number))
    return ContractError(number, None, _at(_NEWEST_MULTI_RELEASE_ERRORS, number))


def _at(names: list[str], number: int) -> str | None:
    return names[number - 1] if 0 < number <= len(names) else None


def _name_in(event: xdr.DiagnosticEvent) -> str | None:
    """The error's name where the host gave it as the event's text, alone."""
    text = event.event.body.v0.data.str if event.event.body.v0 is not None else None
    name = text.sc_string.decode("ascii", "replace") if text is not None else None
    return name if name in _ESCROW_NAMES else None


def _emitter(event: xdr.DiagnosticEvent) -> str | None:
    contract = event.event.contract_id
    return None if contract is None else StrKey.encode_contract(contract.contract_id.hash)


def _events_of(diagnostic_events: Iterable[str]) -> list[xdr.DiagnosticEvent]:
    try:
        return [xdr.DiagnosticEvent.from_xdr(event) for event in diagnostic_events]
    except Exception:  # noqa: BLE001 - as above
        return []


def _events_of_meta(result_meta_xdr: str | None) -> list[xdr.DiagnosticEvent]:
    if result_meta_xdr is None:
        return []
    try:
        meta = xdr.TransactionMeta.from_xdr(result_meta_xdr)
    except Exception:  # noqa: BLE001 - as above
        return []
    if meta.v4 is not None:
        return meta.v4.diagnostic_events
    if meta.v3 is not None and meta.v3.soroban_meta is not None:
        return meta.v3.soroban_meta.diagnostic_events
    return []
