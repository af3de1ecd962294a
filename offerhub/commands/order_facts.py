"""What every command on an order says about it: events, audit entries, the outbox message, and the view for operators."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from offerhub.domain import ids
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.messages import OrderView
from offerhub.domain.money import format_amount
from offerhub.domain.plans import NOTHING_SPECIAL, OperationKind, Subject
from offerhub.domain.states import EscrowState, FinalStatus, OrderState, check_escrow_transition, check_order_transition
from offerhub.storage import operations, orders
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import EscrowChange, OrderRecord, StateChange
from offerhub.storage.unit_of_work import BACKGROUND_PRIORITY, Transaction, WorkflowMessage, new_id
from offerhub.storage.users import Purse

Found = TypeVar("Found")

ORDER_WORKFLOW = "Order"
DISPUTE_WORKFLOW = "Dispute"
# What pays somebody out goes first, then what leads there, then what only begins.
_PRIORITY = {OperationKind.ESCROW_FUNDING: 1, OperationKind.CHECKOUT: 2, OperationKind.ESCROW_CREATION: 2}
# What was due by itself and was refused is due again after this.
NEXT_TRY_AFTER = timedelta(hours=1)
# After every operation, before what only keeps the operators' view fresh.
_DUE_PRIORITY = 3
_WORKFLOW_OF_ORDER: Mapping[OperationKind, Callable[[str], str]] = {
    OperationKind.RELEASE: ids.release_workflow_id,
    OperationKind.REFUND: ids.refund_workflow_id,
    OperationKind.COMPENSATION: ids.compensation_workflow_id,
    OperationKind.REMAINDER: ids.remainder_workflow_id,
}
_OF_DISPUTE = frozenset({OperationKind.DISPUTE_OPENING, OperationKind.DISPUTE_RESOLUTION})


@dataclass(frozen=True)
class Accepted:
    """A command that the chain must carry out: the order in its transitional state and the operation to follow."""

    order: OrderRecord
    operation: OperationRecord

    @property
    def resource(self) -> OrderRecord:
        return self.order


async def lock_order(transaction: Transaction, order_id: str) -> OrderRecord:
    return _found(await orders.lock(transaction, order_id), order_id)


async def lock_order_with_purse(transaction: Transaction, order_id: str) -> tuple[OrderRecord, Purse]:
    """The order and what its buyer may spend, both locked."""
    return _found(await orders.lock_with_purse(transaction, order_id), order_id)


def _found(found: Found | None, order_id: str) -> Found:
    if found is None:
        raise DomainError(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.", {"orderId": order_id})
    return found


async def move_order(transaction: Transaction, order: OrderRecord, target: OrderState, **fields: str | None) -> OrderRecord:
    """The guarded transition with its event (``fields`` are its optional payload) and audit entry; returns the order afterwards."""
    return await _move(transaction, order, StateChange(order.state, target), fields)


async def close_order(transaction: Transaction, order: OrderRecord, final_status: FinalStatus, reason: str | None = None) -> OrderRecord:
    change = StateChange(order.state, OrderState.CLOSED, final_status, reason)
    return await _move(transaction, order, change, {"finalStatus": final_status})


async def _move(transaction: Transaction, order: OrderRecord, change: StateChange, fields: Mapping[str, str | None]) -> OrderRecord:
    check_order_transition(order.state, change.target)
    orders.set_state(transaction, order.id, change)
    transaction.audit(f"order.{change.target.lower()}", ("order", order.id), {"state": order.state}, {"state": change.target})
    moved = replace(
        order,
        state=change.target,
        final_status=change.final_status,
        cancel_reason=change.reason or order.cancel_reason,
        updated_at=transaction.now,
        closed_at=transaction.now if change.target is OrderState.CLOSED else None,
    )
    emit_order(transaction, _EVENT_OF_STATE[change.target], moved, **fields)
    return moved


_EVENT_OF_STATE = {
    OrderState.FUNDS_RESERVED: "order.funds_reserved",
    OrderState.ESCROW_CREATING: "order.escrow_creating",
    OrderState.ESCROW_FUNDING: "order.escrow_funding",
    OrderState.ESCROW_FUNDED: "order.escrow_funded",
    OrderState.IN_PROGRESS: "order.in_progress",
    OrderState.RELEASE_REQUESTED: "order.release_requested",
    OrderState.RELEASED: "order.released",
    OrderState.REFUND_REQUESTED: "order.refund_requested",
    OrderState.REFUNDED: "order.refunded",
    OrderState.DISPUTED: "order.disputed",
    OrderState.CLOSED: "order.closed",
}

_UNCHANGED = EscrowChange()


async def move_escrow(transaction: Transaction, order: OrderRecord, target: EscrowState, learned: EscrowChange = _UNCHANGED) -> OrderRecord:
    """The guarded transition of the order's escrow, with what the chain taught about it; returns the order with it."""
    escrow = order.the_escrow
    check_escrow_transition(escrow.state, target)
    await orders.set_escrow_state(transaction, escrow, target, learned)
    transaction.audit(f"escrow.{target.lower()}", ("escrow", escrow.id), {"state": escrow.state}, {"state": target})
    known = {name: value for name, value in vars(learned).items() if value is not None}
    return replace(order, escrow=replace(escrow, state=target, updated_at=transaction.now, **known))


def emit_order(transaction: Transaction, event_type: str, order: OrderRecord, **fields: str | None) -> None:
    payload = {
        "orderId": order.id,
        "status": order.state,
        "buyerId": order.buyer_id,
        "sellerId": order.seller_id,
        "amount": format_amount(order.amount),
        **fields,
    }
    transaction.emit(Event(event_type, order.id, payload, (order.buyer_id, order.seller_id)))


def emit_escrow(transaction: Transaction, event_type: str, order: OrderRecord, **fields: str | None) -> None:
    escrow = order.the_escrow
    payload = {"escrowId": escrow.id, "orderId": order.id, "status": escrow.state, "contractId": escrow.contract_id, **fields}
    transaction.emit(Event(event_type, escrow.id, payload, (order.buyer_id, order.seller_id)))


def tell_order_workflow(transaction: Transaction, order_id: str, operation: OperationRecord | None = None, *, is_due: bool = False) -> None:
    """Outbox: an operation to carry out, or (without one) word that the order changed or that its deadline has passed."""
    payload = {"order_id": order_id, **_naming(operation)}
    transaction.tell_workflow(
        WorkflowMessage(ORDER_WORKFLOW, ids.order_workflow_id(order_id), "message", payload, _priority(operation, is_due=is_due))
    )


def tell_dispute_workflow(
    transaction: Transaction, dispute_id: str, operation: OperationRecord | None = None, *, is_due: bool = False
) -> None:
    """Outbox: freezing or resolution to carry out, or (without one) word that the dispute changed or that its deadline has passed."""
    payload = {"dispute_id": dispute_id, **_naming(operation)}
    transaction.tell_workflow(
        WorkflowMessage(DISPUTE_WORKFLOW, ids.dispute_workflow_id(dispute_id), "message", payload, _priority(operation, is_due=is_due))
    )


def _naming(operation: OperationRecord | None) -> dict[str, str]:
    return {"operation_id": operation.id if operation else "", "kind": operation.kind if operation else ""}


def _priority(operation: OperationRecord | None, *, is_due: bool) -> int:
    if operation is not None:
        return _PRIORITY.get(OperationKind(operation.kind), 0)
    return _DUE_PRIORITY if is_due else BACKGROUND_PRIORITY


async def accept(transaction: Transaction, order: OrderRecord, kind: OperationKind, subject: Subject = NOTHING_SPECIAL) -> OperationRecord:
    """Write the operation and the message that carries it to the workflow that does it."""
    require_idle(order)
    workflow_id = _workflow_of(order, kind, subject)
    operation = OperationRecord(new_id("op"), kind, "order", order.id, "PENDING", workflow_id, details=subject.to_json())
    await operations.insert(transaction, operation)
    if kind in _OF_DISPUTE and subject.dispute_id is not None:
        tell_dispute_workflow(transaction, subject.dispute_id, operation)
    else:
        tell_order_workflow(transaction, order.id, operation)
    stored = await operations.get(transaction, operation.id)
    assert stored is not None, "written in this transaction"
    return stored


def _workflow_of(order: OrderRecord, kind: OperationKind, subject: Subject) -> str:
    match kind:
        case OperationKind.ESCROW_CREATION | OperationKind.ESCROW_FUNDING | OperationKind.CHECKOUT:
            return ids.escrow_workflow_id(order.the_escrow.id)
        case OperationKind.MILESTONE_COMPLETION | OperationKind.MILESTONE_RELEASE:
            return ids.milestone_workflow_id(order.milestones[subject.milestone_index or 0].id)
        case OperationKind.DISPUTE_OPENING | OperationKind.DISPUTE_RESOLUTION:
            return ids.dispute_workflow_id(str(subject.dispute_id))
        case _:
            return _WORKFLOW_OF_ORDER[kind](order.id)


async def in_flight(
    transaction: Transaction, order: OrderRecord, kind: OperationKind, milestone_index: int | None = None
) -> OperationRecord | None:
    """The running operation of this kind (and milestone): a repeated command is answered with it."""
    if order.operation is None or order.operation.kind != kind or order.operation.subject.milestone_index != milestone_index:
        return None
    return await operations.get(transaction, order.operation.id)


def require_idle(order: OrderRecord) -> None:
    """Two operations never work on the same order at once. ``INVALID_STATE`` names the one that runs."""
    running = order.operation
    if running is not None:
        message = f"A {running.kind.replace('_', ' ')} of this order is still running; wait for operation {running.id}."
        details = {"currentState": order.state, "allowedStates": [order.state], "operationId": running.id}
        raise DomainError(ErrorCode.INVALID_STATE, message, details)


def milestone_index(order: OrderRecord, ref: str) -> int:
    for milestone in order.milestones:
        if milestone.ref == ref:
            return milestone.position
    known = [milestone.ref for milestone in order.milestones]
    raise DomainError(ErrorCode.MILESTONE_NOT_FOUND, f"The order has no milestone {ref[:64]}.", {"orderId": order.id, "milestones": known})


def disputed_part(order: OrderRecord, ref: str | None) -> int | None:
    """The index of the milestone a refund or dispute is about: named on per-milestone orders, nothing on the others."""
    if not order.is_per_milestone:
        if ref is not None:
            raise _about_milestone("This order is paid out as a whole: leave milestoneRef out.")
        return None
    if ref is None:
        raise _about_milestone("This order is paid out per milestone: say which one with milestoneRef.")
    return milestone_index(order, ref)


def gross_of(order: OrderRecord, index: int | None) -> int:
    """What the contract holds for the order, or for one milestone of it, in stroops."""
    if index is None:
        return order.amount
    amount = order.milestones[index].amount
    assert amount is not None, "milestones of a per-milestone order have amounts"
    return amount


def _about_milestone(message: str) -> DomainError:
    return DomainError(ErrorCode.VALIDATION_ERROR, message, {"fields": [{"field": "milestoneRef", "message": message}]})


def deadline_of(order: OrderRecord) -> tuple[str, datetime] | None:
    """What happens by itself while the order stays as it is, and when."""
    if order.reservation_expires_at is not None and is_unfunded(order):
        return "the reservation expires", order.reservation_expires_at
    if order.auto_release_at is not None and order.state is OrderState.IN_PROGRESS:
        return "the seller is paid", order.auto_release_at
    return None


def is_unfunded(order: OrderRecord) -> bool:
    """Money is reserved, none is in the contract or on its way there."""
    if order.state is OrderState.FUNDS_RESERVED:
        return True
    return order.state is OrderState.ESCROW_FUNDING and order.the_escrow.state is EscrowState.CREATED


def view(order: OrderRecord) -> OrderView:
    escrow = order.escrow
    deadline = deadline_of(order)
    return OrderView(
        order_id=order.id,
        title=order.title,
        state=order.state,
        buyer_id=order.buyer_id,
        seller_id=order.seller_id,
        amount=format_amount(order.amount),
        amount_stroops=order.amount,
        final_status=order.final_status or "",
        escrow_id=escrow.id if escrow else "",
        escrow_state=escrow.state if escrow else "",
        contract_id=(escrow.contract_id or "") if escrow else "",
        deploy_hash=(escrow.deploy_hash or "") if escrow else "",
        fund_hash=(escrow.fund_hash or "") if escrow else "",
        release_hash=(escrow.release_hash or "") if escrow else "",
        refund_hash=(escrow.refund_hash or "") if escrow else "",
        dispute_id=order.dispute_id or "",
        is_per_milestone=order.is_per_milestone,
        deadline=deadline[0] if deadline else "",
        deadline_unix=int(deadline[1].timestamp()) if deadline else 0,
    )
