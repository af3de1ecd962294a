"""Pay an escrow out to the seller, as a whole or one milestone of it, and book what the chain moved."""

from __future__ import annotations

from dataclasses import replace

from offerhub.commands.order_facts import (
    Accepted,
    accept,
    gross_of,
    in_flight,
    lock_order,
    milestone_index,
    move_escrow,
    move_order,
    require_idle,
)
from offerhub.commands.payouts import Shares, book_payout
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import Refusal
from offerhub.domain.plans import OperationKind, Subject
from offerhub.domain.states import EscrowState, FinalStatus, MilestoneState, OrderState, invalid_state, require_order_state
from offerhub.storage import operations
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

_RELEASABLE = (MilestoneState.OPEN, MilestoneState.COMPLETED, MilestoneState.APPROVED)


async def request_release(transaction: Transaction, order_id: str, reason: str | None, requested_by: str | None) -> Accepted:
    """``IN_PROGRESS → RELEASE_REQUESTED``. A second release is answered with the first one's operation, running or done."""
    order = await lock_order(transaction, order_id)
    first = await in_flight(transaction, order, OperationKind.RELEASE)
    if first is None and order.final_status is FinalStatus.RELEASED and not order.is_per_milestone:
        first = await operations.last(transaction, order.id, OperationKind.RELEASE)
    if first is not None:
        return Accepted(order, first)
    if order.is_per_milestone:
        raise DomainError(
            ErrorCode.VALIDATION_ERROR,
            "This order is paid out per milestone: release its milestones with POST /orders/{id}/milestones/{ref}/release.",
            {"milestones": [milestone.ref for milestone in order.milestones]},
        )
    require_order_state(order.state, OrderState.IN_PROGRESS)
    require_idle(order)
    releasing = await move_escrow(transaction, order, EscrowState.RELEASING)
    moved = await move_order(transaction, releasing, OrderState.RELEASE_REQUESTED)
    transaction.audit("order.release_reason", ("order", order.id), None, {"reason": reason, "requestedBy": requested_by})
    operation = await accept(transaction, moved, OperationKind.RELEASE)
    return Accepted(moved, operation)


async def request_milestone_release(transaction: Transaction, order_id: str, ref: str) -> Accepted:
    """Pay one milestone of a per-milestone order out. Asked again, the first release of it is the answer, running or done."""
    order = await lock_order(transaction, order_id)
    index = milestone_index(order, ref)
    if not order.is_per_milestone:
        raise DomainError(ErrorCode.VALIDATION_ERROR, "This order is paid out as a whole: release the order.", {"orderId": order.id})
    first = await in_flight(transaction, order, OperationKind.MILESTONE_RELEASE, index)
    milestone = order.milestones[index]
    if first is None and milestone.state is MilestoneState.RELEASED:
        first = await operations.last_of_milestone(transaction, order.id, OperationKind.MILESTONE_RELEASE, index)
    if first is not None:
        return Accepted(order, first)
    require_order_state(order.state, OrderState.IN_PROGRESS)
    if milestone.state not in _RELEASABLE:
        raise invalid_state("milestone", milestone.state, [state.value for state in _RELEASABLE])
    operation = await accept(transaction, order, OperationKind.MILESTONE_RELEASE, Subject(milestone_index=index, per_milestone=True))
    transaction.audit("order.milestone_release_requested", ("order", order.id), None, {"milestoneRef": ref})
    return Accepted(order, operation)


async def book_release(transaction: Transaction, order: OrderRecord, operation: OperationRecord, payout: AttemptRecord) -> OrderRecord:
    """The whole order, or the operation's milestone."""
    index = operation.subject.milestone_index if operation.subject.per_milestone else None
    subject = replace(operation.subject, milestone_index=index, seller_stroops=gross_of(order, index))
    booked, _ = await book_payout(transaction, order, Shares("release", subject), payout)
    await operations.finish(transaction, operation.id)
    return booked


async def undo_release(transaction: Transaction, order: OrderRecord, _operation: OperationRecord, _refusal: Refusal) -> OrderRecord:
    """The contract refused: the money is still in it and the order back in progress."""
    if order.state is not OrderState.RELEASE_REQUESTED:
        return order
    funded = await move_escrow(transaction, order, EscrowState.FUNDED)
    return await move_order(transaction, funded, OrderState.IN_PROGRESS)
