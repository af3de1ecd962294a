"""What every command on an order says about it: events, audit entries, the outbox message, and the view for operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from offerhub.domain import ids
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.messages import OrderView
from offerhub.domain.money import format_amount
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import EscrowState, FinalStatus, OrderState, check_escrow_transition, check_order_transition
from offerhub.storage import operations, orders
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import EscrowChange, OrderRecord, StateChange
from offerhub.storage.unit_of_work import BACKGROUND_PRIORITY, Transaction, WorkflowMessage, new_id

ORDER_WORKFLOW = "Order"
_PRIORITY = {OperationKind.RELEASE: 0, OperationKind.ESCROW_FUNDING: 1, OperationKind.ESCROW_CREATION: 2}
_CHILD_WORKFLOW = {
    OperationKind.ESCROW_CREATION: ids.escrow_workflow_id,
    OperationKind.ESCROW_FUNDING: ids.escrow_workflow_id,
    OperationKind.RELEASE: ids.release_workflow_id,
}


@dataclass(frozen=True)
class Accepted:
    """A command that the chain must carry out: the order in its transitional state and the operation to follow."""

    order: OrderRecord
    operation: OperationRecord

    @property
    def resource(self) -> OrderRecord:
        return self.order


async def lock_order(transaction: Transaction, order_id: str) -> OrderRecord:
    order = await orders.lock(transaction, order_id)
    if order is None:
        raise DomainError(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id}.", {"orderId": order_id})
    return order


async def move_order(transaction: Transaction, order: OrderRecord, target: OrderState, **fields: str | None) -> OrderRecord:
    """The guarded transition with its event (``fields`` are its optional payload) and audit entry; returns the order afterwards."""
    return await _move(transaction, order, StateChange(order.state, target), fields)


async def close_order(transaction: Transaction, order: OrderRecord, final_status: FinalStatus, reason: str | None = None) -> OrderRecord:
    change = StateChange(order.state, OrderState.CLOSED, final_status, reason)
    return await _move(transaction, order, change, {"finalStatus": final_status})


async def _move(transaction: Transaction, order: OrderRecord, change: StateChange, fields: Mapping[str, str | None]) -> OrderRecord:
    check_order_transition(order.state, change.target)
    await orders.set_state(transaction, order.id, change)
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


def tell_order_workflow(transaction: Transaction, order_id: str, operation: OperationRecord | None = None) -> None:
    """Outbox: an operation to carry out, or (without one) word that the order changed."""
    payload = {"order_id": order_id, "operation_id": operation.id if operation else "", "kind": operation.kind if operation else ""}
    priority = _PRIORITY[OperationKind(operation.kind)] if operation else BACKGROUND_PRIORITY
    transaction.tell_workflow(WorkflowMessage(ORDER_WORKFLOW, ids.order_workflow_id(order_id), "message", payload, priority))


async def accept(transaction: Transaction, order: OrderRecord, kind: OperationKind) -> OperationRecord:
    """Write the operation and the message that carries it to the order's workflow."""
    subject = order.id if kind is OperationKind.RELEASE else order.the_escrow.id
    operation = OperationRecord(new_id("op"), kind, "order", order.id, "PENDING", _CHILD_WORKFLOW[kind](subject))
    await operations.insert(transaction, operation)
    tell_order_workflow(transaction, order.id, operation)
    stored = await operations.get(transaction, operation.id)
    assert stored is not None, "written in this transaction"
    return stored


async def in_flight(transaction: Transaction, order: OrderRecord, kind: OperationKind) -> OperationRecord | None:
    """The running operation of this kind: a repeated command is answered with it."""
    if order.operation_id is None:
        return None
    operation = await operations.get(transaction, order.operation_id)
    return operation if operation is not None and operation.kind == kind else None


def view(order: OrderRecord) -> OrderView:
    escrow = order.escrow
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
    )
