"""The seller delivers: a milestone is recorded as completed on the contract, and the time after which the seller is paid begins."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from offerhub.commands.order_facts import (
    NEXT_TRY_AFTER,
    Accepted,
    accept,
    emit_escrow,
    emit_order,
    in_flight,
    lock_order,
    milestone_index,
    require_idle,
    tell_order_workflow,
)
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.plans import OperationKind, Subject
from offerhub.domain.states import MilestoneState, OrderState, invalid_state, require_order_state
from offerhub.domain.times import iso
from offerhub.storage import clock, operations, orders
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import MilestoneRecord, OrderRecord
from offerhub.storage.unit_of_work import Transaction

# Far beyond any honest delay; so late a deadline would be none.
_OBJECTIONS = frozenset({OperationKind.DISPUTE_OPENING, OperationKind.REFUND})
MAX_EXTENSION = timedelta(days=365)
_DELIVERED = (MilestoneState.COMPLETED, MilestoneState.APPROVED)


async def request_completion(transaction: Transaction, order_id: str, ref: str, evidence: str | None) -> Accepted:
    """Milestone ``OPEN → COMPLETED``, signed by the seller. Asked again, the first completion is the answer, running or done."""
    order = await lock_order(transaction, order_id)
    index = milestone_index(order, ref)
    milestone = order.milestones[index]
    first = await in_flight(transaction, order, OperationKind.MILESTONE_COMPLETION, index)
    if first is None and milestone.state is MilestoneState.COMPLETED:
        first = await operations.last_of_milestone(transaction, order.id, OperationKind.MILESTONE_COMPLETION, index)
    if first is not None:
        return Accepted(order, first)
    require_order_state(order.state, OrderState.IN_PROGRESS)
    require_idle(order)
    if milestone.state is not MilestoneState.OPEN:
        raise invalid_state("milestone", milestone.state, [MilestoneState.OPEN.value])
    subject = Subject(milestone_index=index, evidence=evidence or "")
    transaction.audit("order.milestone_completion_requested", ("order", order.id), None, {"milestoneRef": ref, "evidence": evidence})
    return Accepted(order, await accept(transaction, order, OperationKind.MILESTONE_COMPLETION, subject))


async def book_completion(transaction: Transaction, order: OrderRecord, operation: OperationRecord, done: AttemptRecord) -> OrderRecord:
    """The contract has recorded the delivery; no money moves. Where the order says so, its auto-release is scheduled."""
    milestone = order.milestones[operation.subject.milestone_index or 0]
    proof = {"milestoneRef": milestone.ref, "transactionHash": done.inner_hash}
    due = _auto_release_due(order)
    scheduled = await _schedule(transaction, order, due) if due is not None and order.auto_release_at is None else order
    when = scheduled.auto_release_at
    emit_order(transaction, "order.milestone_completed", scheduled, **proof, autoReleaseAt=iso(when))
    emit_escrow(transaction, "escrow.milestone_completed", scheduled, **proof)
    if when is not None and when != order.auto_release_at:
        emit_order(transaction, "order.release_scheduled", scheduled, autoReleaseAt=iso(when))
    await operations.finish(transaction, operation.id)
    return scheduled


async def extend_release(transaction: Transaction, order_id: str, by: timedelta, requested_by: str | None) -> OrderRecord:
    """Move the auto-release deadline to later, on behalf of either party. Raises ``INVALID_STATE`` when none is running."""
    order = await lock_order(transaction, order_id)
    require_order_state(order.state, OrderState.IN_PROGRESS)
    if order.auto_release_at is None:
        details = {"currentState": order.state, "allowedStates": [OrderState.IN_PROGRESS.value]}
        raise DomainError(ErrorCode.INVALID_STATE, "No automatic release is scheduled: not everything is delivered yet.", details)
    extended = order.auto_release_at + by
    if extended > await clock.engine_now(transaction) + MAX_EXTENSION:
        limit = MAX_EXTENSION.days
        raise DomainError(ErrorCode.LIMIT_EXCEEDED, f"A release is put off by at most {limit} days.", {"limitDays": str(limit)})
    moved = await _schedule(transaction, order, extended)
    before, after = {"autoReleaseAt": iso(order.auto_release_at)}, {"autoReleaseAt": iso(extended), "requestedBy": requested_by}
    transaction.audit("order.release_scheduled", ("order", order.id), before, after)
    emit_order(transaction, "order.release_scheduled", moved, autoReleaseAt=iso(extended), requestedBy=requested_by)
    tell_order_workflow(transaction, order.id)
    return moved


async def schedule_next(transaction: Transaction, before: OrderRecord, order: OrderRecord) -> OrderRecord:
    """When another milestone is the next to be paid by itself than ``before``: its deadline, or none. An extended one stays extended."""
    if order.auto_release_after_s is None or not order.is_per_milestone or order.state is not OrderState.IN_PROGRESS:
        return order
    was, becomes = longest_delivered(before), longest_delivered(order)
    scheduled = order.auto_release_at is not None
    if scheduled == (becomes is not None) and (was and was.id) == (becomes and becomes.id):
        return order
    return await _schedule(transaction, order, _auto_release_due(order))


def longest_delivered(order: OrderRecord) -> MilestoneRecord | None:
    """Of the milestones that wait for their money, the one that does so for the longest time."""
    delivered = [(m.completed_at, m) for m in order.milestones if m.state in _DELIVERED and m.completed_at is not None]
    return min(delivered, key=lambda entry: entry[0])[1] if delivered else None


async def reschedule_after_refusal(transaction: Transaction, order: OrderRecord, kind: OperationKind) -> OrderRecord:
    """What was refused must not make the automatic release come sooner, at once and for ever, or never.

    A refused release that is due by itself is tried again later. Who objected in time (a dispute or a refund that the chain refused) has
    the whole time for objections once more. A delivery that a refused release has recorded counts like any other.
    """
    if order.state is not OrderState.IN_PROGRESS or order.auto_release_after_s is None:
        return order
    scheduled = order.auto_release_at or _auto_release_due(order)
    if scheduled is None:
        return order
    now = await clock.engine_now(transaction)
    earliest = scheduled
    if kind in _OBJECTIONS:
        earliest = now + timedelta(seconds=order.auto_release_after_s)
    elif scheduled <= now:
        earliest = now + NEXT_TRY_AFTER
    if order.auto_release_at == max(scheduled, earliest):
        return order
    moved = await _schedule(transaction, order, max(scheduled, earliest))
    before, after = {"autoReleaseAt": iso(order.auto_release_at)}, {"autoReleaseAt": iso(moved.auto_release_at)}
    transaction.audit("order.release_scheduled", ("order", order.id), before, after)
    emit_order(transaction, "order.release_scheduled", moved, autoReleaseAt=iso(moved.auto_release_at))
    return moved


async def next_to_pay(transaction: Transaction, order: OrderRecord) -> MilestoneRecord | None:
    """Of the milestones delivered for long enough, the one tried least recently: one that cannot be paid stops no other."""
    now = await clock.engine_now(transaction)
    waited = timedelta(seconds=order.auto_release_after_s or 0)
    tried = await operations.last_by_milestone(transaction, order.id, OperationKind.MILESTONE_RELEASE)
    due = [
        (tried.get(m.position, ""), m.completed_at, m)
        for m in order.milestones
        if m.state in _DELIVERED and m.completed_at is not None and m.completed_at + waited <= now
    ]
    return min(due, key=lambda entry: entry[:2])[2] if due else longest_delivered(order)


def _auto_release_due(order: OrderRecord) -> datetime | None:
    """When everything (or, paid out per milestone, the first milestone that waits for its money) is delivered for long enough."""
    if order.auto_release_after_s is None:
        return None
    delivered = [m.completed_at for m in order.milestones if m.state in _DELIVERED and m.completed_at is not None]
    if not delivered or (not order.is_per_milestone and any(m.state is MilestoneState.OPEN for m in order.milestones)):
        return None
    since = min(delivered) if order.is_per_milestone else max(delivered)
    return since + timedelta(seconds=order.auto_release_after_s)


async def _schedule(transaction: Transaction, order: OrderRecord, when: datetime | None) -> OrderRecord:
    await orders.set_deadlines(transaction, order.id, order.reservation_expires_at, when)
    return replace(order, auto_release_at=when)
