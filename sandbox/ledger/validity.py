"""Whether a transaction may enter the queue, and may still enter a ledger, in stellar-core's order of checks."""

from __future__ import annotations

from dataclasses import dataclass

from stellar_sdk import xdr

from sandbox.ledger.entries import BASE_FEE_STROOPS, Account
from sandbox.ledger.envelope import Envelope, Operation, Preconditions
from sandbox.ledger.operations import check_shape, threshold_of
from sandbox.ledger.results import (
    OperationOutcome,
    OperationRefused,
    TransactionRefused,
    operation_outcome,
    untouched_outcome,
)
from sandbox.ledger.signatures import SignatureSet, signers_of
from sandbox.ledger.state import Entries

_CODE = xdr.TransactionResultCode
MAX_SOROBAN_BYTES = 132_096
MAX_INSTRUCTIONS = 400_000_000
MAX_WRITE_ENTRIES = 200
MAX_FOOTPRINT_KEYS = 400


@dataclass(frozen=True)
class ValidityWindow:
    """The ledger a transaction would enter, and the close times it is judged by.

    At submission ``latest_close_time`` lies ahead of the clock, so that ``tx_too_late`` comes early, as on the network.
    """

    sequence: int
    earliest_close_time: int
    latest_close_time: int
    pending_fees: int = 0
    base_fee_stroops: int = BASE_FEE_STROOPS


def check_validity(envelope: Envelope, entries: Entries, window: ValidityWindow) -> None:
    """Raises TransactionRefused (``inner`` set where a fee bump's inner transaction is to blame)."""
    envelope.signatures.reset_use()
    if envelope.fee_bump is None:
        _check_inner(envelope, entries, window)
        return
    _check_fee_bump(envelope, entries, window)
    try:
        _check_inner(envelope, entries, window)
    except TransactionRefused as refused:
        refused.inner = True
        raise


def authorize_operation(operation: Operation, entries: Entries, signatures: SignatureSet, *, applying: bool) -> None:
    """Raises OperationRefused; before application the source may be an account that the transaction itself creates."""
    account = entries.account(operation.source)
    if account is None:
        if applying or not operation.own_source:
            raise OperationRefused(xdr.OperationResultCode.opNO_ACCOUNT)
        authorized = signatures.reaches([(operation.source, 1)], 0)
    else:
        authorized = signatures.reaches(signers_of(account), threshold_of(operation, account.thresholds))
    if not authorized:
        raise OperationRefused(xdr.OperationResultCode.opBAD_AUTH)


def minimum_fee(envelope: Envelope, base_fee_stroops: int) -> int:
    return base_fee_stroops * envelope.fee_units + envelope.resource_fee


def _check_fee_bump(envelope: Envelope, entries: Entries, window: ValidityWindow) -> None:
    bump = envelope.fee_bump
    assert bump is not None
    bump.signatures.reset_use()
    needed = minimum_fee(envelope, window.base_fee_stroops)
    inner_bid = envelope.inner_fee - envelope.resource_fee
    inner_units = len(envelope.operations)
    if inner_units:
        needed = max(needed, -(-inner_bid * envelope.fee_units // inner_units) + envelope.resource_fee)
    if envelope.max_fee < needed:
        raise TransactionRefused(_CODE.txINSUFFICIENT_FEE, required_fee=needed)
    account = entries.account(bump.source)
    if account is None:
        raise TransactionRefused(_CODE.txNO_ACCOUNT)
    if not bump.signatures.reaches(signers_of(account), account.thresholds[0]):
        raise TransactionRefused(_CODE.txBAD_AUTH)
    if account.spendable < envelope.max_fee + window.pending_fees:
        raise TransactionRefused(_CODE.txINSUFFICIENT_BALANCE)
    if not bump.signatures.all_used:
        raise TransactionRefused(_CODE.txBAD_AUTH_EXTRA)


def _check_inner(envelope: Envelope, entries: Entries, window: ValidityWindow) -> None:
    if not envelope.operations:
        raise TransactionRefused(_CODE.txMISSING_OPERATION)
    _check_soroban(envelope)
    _check_bounds(envelope.preconditions, window)
    needed = minimum_fee(envelope, window.base_fee_stroops)
    if envelope.fee_bump is None and envelope.max_fee < needed:
        raise TransactionRefused(_CODE.txINSUFFICIENT_FEE, required_fee=needed)
    account = entries.account(envelope.source)
    if account is None:
        raise TransactionRefused(_CODE.txNO_ACCOUNT)
    _check_sequence(envelope, account, window)
    if not envelope.signatures.reaches(signers_of(account), account.thresholds[0]):
        raise TransactionRefused(_CODE.txBAD_AUTH)
    if envelope.fee_bump is None and account.spendable < envelope.max_fee + window.pending_fees:
        raise TransactionRefused(_CODE.txINSUFFICIENT_BALANCE)
    outcomes = tuple(_check_operation(each, entries, envelope.signatures) for each in envelope.operations)
    if not all(each.successful for each in outcomes):
        raise TransactionRefused(_CODE.txFAILED, outcomes)
    if not envelope.signatures.all_used:
        raise TransactionRefused(_CODE.txBAD_AUTH_EXTRA)


def _check_operation(operation: Operation, entries: Entries, signatures: SignatureSet) -> OperationOutcome:
    try:
        authorize_operation(operation, entries, signatures, applying=False)
        check_shape(operation)
    except OperationRefused as refused:
        return operation_outcome(operation.type, refused.code)
    return untouched_outcome(operation.type)


def _check_bounds(bounds: Preconditions, window: ValidityWindow) -> None:
    if bounds.extra_signer_count:
        raise TransactionRefused(_CODE.txNOT_SUPPORTED)
    if bounds.min_time > window.earliest_close_time or bounds.min_ledger > window.sequence:
        raise TransactionRefused(_CODE.txTOO_EARLY)
    if bounds.max_time and bounds.max_time < window.latest_close_time:
        raise TransactionRefused(_CODE.txTOO_LATE)
    if bounds.max_ledger and bounds.max_ledger <= window.sequence:
        raise TransactionRefused(_CODE.txTOO_LATE)


def _check_sequence(envelope: Envelope, account: Account, window: ValidityWindow) -> None:
    bounds = envelope.preconditions
    lowest = envelope.sequence - 1 if bounds.min_sequence is None else bounds.min_sequence
    if not lowest <= account.sequence < envelope.sequence or envelope.sequence == window.sequence << 32:
        raise TransactionRefused(_CODE.txBAD_SEQ)
    age = window.earliest_close_time - account.sequence_time
    gap = window.sequence - account.sequence_ledger
    if age < bounds.min_sequence_age_s or gap < bounds.min_sequence_ledger_gap:
        raise TransactionRefused(_CODE.txBAD_MIN_SEQ_AGE_OR_GAP)


def _check_soroban(envelope: Envelope) -> None:
    calls = any(each.type == xdr.OperationType.INVOKE_HOST_FUNCTION for each in envelope.operations)
    data = envelope.soroban_data
    if not calls and data is None:
        return
    if not calls or data is None or len(envelope.operations) != 1:
        raise TransactionRefused(_CODE.txSOROBAN_INVALID)
    footprint = data.resources.footprint
    keys = len(footprint.read_only) + len(footprint.read_write)
    within = (
        0 < envelope.resource_fee <= envelope.inner_fee
        and data.resources.instructions.uint32 <= MAX_INSTRUCTIONS
        and len(footprint.read_write) <= MAX_WRITE_ENTRIES
        and keys <= MAX_FOOTPRINT_KEYS
        and envelope.size_bytes <= MAX_SOROBAN_BYTES
    )
    if not within:
        raise TransactionRefused(_CODE.txSOROBAN_INVALID)
