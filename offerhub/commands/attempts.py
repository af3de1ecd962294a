"""Book-keeping of the chain step: who may use a source account, which envelope was signed, how it ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from offerhub.domain.errors import DomainError, ErrorCode, OutOfTurnError
from offerhub.domain.events import Event
from offerhub.domain.messages import Movement
from offerhub.domain.plans import Action
from offerhub.domain.states import AttemptState, MilestoneState
from offerhub.domain.times import iso
from offerhub.storage import attempts, operations, orders
from offerhub.storage.attempts import AttemptRecord, Settlement
from offerhub.storage.clock import engine_now
from offerhub.storage.orders import MilestoneChange
from offerhub.storage.unit_of_work import Transaction

_MILESTONE_AFTER = {Action.COMPLETE_MILESTONE: MilestoneState.COMPLETED, Action.APPROVE_MILESTONE: MilestoneState.APPROVED}


@dataclass(frozen=True)
class Turn:
    """The answer to "may I use this account?": how many are ahead, and what this intent has signed already, newest first."""

    ahead: int
    attempts: list[AttemptRecord] = field(default_factory=list)
    last_sequence: int | None = None


async def take_turn(transaction: Transaction, source: str, intent: str) -> Turn:
    """Queue for the source account (once per intent). First come, first served; an open attempt keeps the place for ever."""
    known = await attempts.of_intent(transaction, intent)
    if any(attempt.is_open or attempt.state is AttemptState.CONFIRMED for attempt in known):
        return Turn(0, known)
    ahead = await attempts.queue_for(transaction, source, intent)
    return Turn(ahead, known, await attempts.last_sequence(transaction, source))


async def record_attempt(transaction: Transaction, signed: AttemptRecord) -> AttemptRecord:
    """Persist a signed envelope before anybody may send it. An open or applied attempt of the same intent wins over the new one.

    Raises ``OutOfTurnError`` when another intent holds the source account by now, ``INVALID_STATE`` when the operation has ended: the
    envelope must not be used.
    """
    if await attempts.holder(transaction, signed.source) != signed.intent_id:
        raise OutOfTurnError(f"{signed.intent_id} no longer holds {signed.source}")
    for attempt in await attempts.of_intent(transaction, signed.intent_id):
        if attempt.is_open or attempt.state is AttemptState.CONFIRMED:
            return attempt
    if signed.operation_id is not None and not await operations.hold_in_flight(transaction, signed.operation_id):
        raise DomainError(ErrorCode.INVALID_STATE, f"Operation {signed.operation_id} has ended; nothing more is signed for it.")
    await attempts.insert(transaction, signed)
    after = {"intentId": signed.intent_id, "innerHash": signed.inner_hash, "source": signed.source, "sequence": str(signed.sequence)}
    transaction.audit("envelope.signed", ("attempt", signed.id), None, after)
    return signed


async def note_submission(transaction: Transaction, attempt_id: str) -> AttemptRecord:
    """Count one more posting, before it happens; returns the attempt so that a settled one is not posted again."""
    attempt = await attempts.lock(transaction, attempt_id)
    if attempt is None:
        raise LookupError(f"there is no attempt {attempt_id}")
    if attempt.is_open:
        await attempts.mark_submitted(transaction, attempt_id)
        if attempt.state is AttemptState.SIGNED:
            after = {"state": AttemptState.SUBMITTED, "innerHash": attempt.inner_hash}
            transaction.audit("envelope.submitted", ("attempt", attempt.id), {"state": attempt.state}, after)
    return attempt


@dataclass(frozen=True)
class Outcome:
    """How an envelope ended, as read from the chain; ``state`` is CONFIRMED, REJECTED, DEAD or UNKNOWN."""

    state: AttemptState
    ledger: int | None = None
    code: str | None = None
    reason: str | None = None
    movements: tuple[Movement, ...] = ()


async def settle_attempt(transaction: Transaction, attempt_id: str, outcome: Outcome) -> AttemptRecord:
    """Record the outcome once; with CONFIRMED the step's own effect (a milestone's state) and the operation's hash are recorded too.

    The source account is given back unless the envelope may still apply or its intent needs another one (DEAD).
    """
    attempt = await attempts.lock(transaction, attempt_id)
    if attempt is None:
        raise LookupError(f"there is no attempt {attempt_id}")
    if not attempt.is_open:
        return attempt
    movements = [vars(movement) for movement in outcome.movements]
    settlement = Settlement(outcome.state, outcome.ledger, outcome.code, outcome.reason, movements)
    await attempts.settle(transaction, attempt.id, settlement)
    if outcome.state is AttemptState.CONFIRMED:
        await _record_effect(transaction, attempt)
    if outcome.state in (AttemptState.CONFIRMED, AttemptState.REJECTED):
        await attempts.leave_queue(transaction, attempt.intent_id)
    after = {"state": outcome.state, "innerHash": attempt.inner_hash, "reason": outcome.reason}
    transaction.audit("envelope.settled", ("attempt", attempt.id), {"state": attempt.state}, after)
    settled = replace(attempt, **vars(settlement))
    if outcome.state is AttemptState.UNKNOWN:
        _emit(transaction, "envelope.unknown", settled)
    elif attempt.state is AttemptState.UNKNOWN:
        _emit(transaction, "envelope.resolved", settled)
    return settled


async def correct_movements(transaction: Transaction, attempt_id: str, movements: Sequence[Movement]) -> None:
    """What an applied envelope moved was read from the chain once more; how it ended is not touched. Nothing changes once it is booked."""
    attempt = await attempts.lock(transaction, attempt_id)
    if attempt is None or attempt.state is not AttemptState.CONFIRMED:
        raise LookupError(f"there is no applied attempt {attempt_id}")
    found = [vars(movement) for movement in movements]
    if found == (attempt.movements or []):
        return
    if attempt.operation_id is None or not await operations.hold_in_flight(transaction, attempt.operation_id):
        return
    await attempts.set_movements(transaction, attempt.id, found)
    transaction.audit("envelope.movements_read_again", ("attempt", attempt.id), {"movements": attempt.movements}, {"movements": found})


def _emit(transaction: Transaction, event_type: str, attempt: AttemptRecord) -> None:
    """All that a person needs to look for the envelope on the network without us; the envelope itself stays in its row."""
    payload = {
        "attemptId": attempt.id,
        "intentId": attempt.intent_id,
        "operationId": attempt.operation_id,
        "status": attempt.state,
        "innerHash": attempt.inner_hash,
        "outerHash": attempt.outer_hash,
        "sourceAccount": attempt.source,
        "sequence": str(attempt.sequence),
        "expiresAt": iso(datetime.fromtimestamp(attempt.max_time, UTC)),
        "reason": attempt.reason,
    }
    transaction.emit(Event(event_type, attempt.id, payload))


async def _record_effect(transaction: Transaction, attempt: AttemptRecord) -> None:
    if attempt.operation_id is None or attempt.step is None:
        return
    await operations.add_hash(transaction, attempt.operation_id, attempt.inner_hash)
    state = _MILESTONE_AFTER.get(Action(attempt.step["action"]))
    operation = await operations.get(transaction, attempt.operation_id)
    if state is not None and operation is not None:
        completed_at = await engine_now(transaction) if state is MilestoneState.COMPLETED else None
        evidence = operation.subject.evidence or None
        change = MilestoneChange(state, completed_at=completed_at, evidence=evidence if completed_at else None)
        await orders.set_milestone(transaction, operation.resource_id, attempt.step["milestone_index"], change)
