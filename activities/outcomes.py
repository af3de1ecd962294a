"""Stored attempts in the words of the workflows."""

from __future__ import annotations

from offerhub.domain.errors import ErrorCode
from offerhub.domain.messages import Movement, SignedAttempt, StepOutcome, StepStatus
from offerhub.domain.states import AttemptState
from offerhub.storage.attempts import AttemptRecord

_STATUS = {
    AttemptState.CONFIRMED: StepStatus.APPLIED,
    AttemptState.REJECTED: StepStatus.REFUSED,
    AttemptState.DEAD: StepStatus.DEAD,
}
# Failed in a ledger for a reason that a new envelope does not have: what it was simulated on had changed.
ONCE_MORE = frozenset(
    {"resource_limit_exceeded", "insufficient_refundable_fee", "entry_archived", "tx_bad_seq", "tx_too_late", "tx_insufficient_fee"}
)
TRAPPED = "trapped"
_REFUSALS = {
    TRAPPED: ErrorCode.ESCROW_REJECTED,
    "op_underfunded": ErrorCode.INSUFFICIENT_FUNDS,
    "op_no_destination": ErrorCode.WITHDRAWAL_DESTINATION_INVALID,
    "op_no_trust": ErrorCode.WITHDRAWAL_DESTINATION_INVALID,
    "op_not_authorized": ErrorCode.WITHDRAWAL_DESTINATION_INVALID,
    "op_line_full": ErrorCode.WITHDRAWAL_DESTINATION_INVALID,
}


def signed_attempt(attempt: AttemptRecord) -> SignedAttempt:
    return SignedAttempt(attempt.id, attempt.intent_id, attempt.inner_hash, attempt.via)


def outcome_of(attempt: AttemptRecord) -> StepOutcome:
    """``code`` is one of ``ErrorCode`` when the step is refused; the network's own words are in ``reason``."""
    status = _STATUS.get(attempt.state, StepStatus.PENDING)
    if status is StepStatus.REFUSED and attempt.code in ONCE_MORE:
        status = StepStatus.DEAD
    code = ""
    if status is StepStatus.REFUSED:
        code = _REFUSALS.get(attempt.code or "", ErrorCode.STELLAR_NETWORK_ERROR)
    return StepOutcome(
        status=status,
        attempt_id=attempt.id,
        inner_hash=attempt.inner_hash,
        ledger=attempt.ledger or 0,
        code=code,
        reason=attempt.reason or "",
        movements=[Movement(**movement) for movement in attempt.movements or ()],
    )
