"""Reserve, create the escrow and fund it in one operation; and the way out for an escrow that was never funded."""

from __future__ import annotations

from offerhub.commands.escrow_creation import book_escrow_created, open_escrow, undo_escrow_creation
from offerhub.commands.escrow_funding import book_funding, start_funding, undo_funding
from offerhub.commands.order_facts import (
    Accepted,
    accept,
    close_order,
    emit_escrow,
    emit_order,
    in_flight,
    lock_order,
    move_escrow,
    move_order,
    require_idle,
    tell_order_workflow,
)
from offerhub.commands.reserve import give_back, reserve
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import Refusal
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import EscrowState, FinalStatus, OrderState, invalid_state, require_order_state
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction


async def request_checkout(transaction: Transaction, order_id: str) -> Accepted:
    """From ``ORDER_CREATED`` or ``FUNDS_RESERVED`` to ``IN_PROGRESS``. Asked again while it runs, the running operation is the answer.

    Raises what reserving and creating the escrow raise; then nothing is reserved either.
    """
    order = await lock_order(transaction, order_id)
    running = await in_flight(transaction, order, OperationKind.CHECKOUT)
    if running is not None:
        return Accepted(order, running)
    if order.escrow is not None:
        details = {"orderId": order.id, "escrowId": order.escrow.id, "contractId": order.escrow.contract_id}
        raise DomainError(ErrorCode.ESCROW_ALREADY_EXISTS, "The order has an escrow already; fund it.", details)
    require_order_state(order.state, OrderState.ORDER_CREATED, OrderState.FUNDS_RESERVED)
    reserved = await reserve(transaction, order) if order.state is OrderState.ORDER_CREATED else order
    moved = await move_order(transaction, await open_escrow(transaction, reserved), OrderState.ESCROW_CREATING)
    return Accepted(moved, await accept(transaction, moved, OperationKind.CHECKOUT))


async def book_checkout(transaction: Transaction, order: OrderRecord, operation: OperationRecord, applied: AttemptRecord) -> OrderRecord:
    """Twice: the contract exists, and its funding begins; the money is in it."""
    if order.state is OrderState.ESCROW_CREATING:
        return await start_funding(transaction, await book_escrow_created(transaction, order, operation, applied))
    return await book_funding(transaction, order, operation, applied)


async def undo_checkout(transaction: Transaction, order: OrderRecord, operation: OperationRecord, refusal: Refusal) -> OrderRecord:
    """Back to the last state that holds: reserved without an escrow, or with an escrow that waits to be funded."""
    if order.state is OrderState.ESCROW_CREATING:
        return await undo_escrow_creation(transaction, order, operation, refusal)
    return await undo_funding(transaction, order, operation, refusal)


async def abandon_escrow(transaction: Transaction, order_id: str, reason: str | None) -> OrderRecord:
    """Close an order whose escrow was never funded; the reservation goes back, the empty contract is recorded. Harmless when repeated."""
    order = await lock_order(transaction, order_id)
    if order.escrow is not None and order.escrow.state is EscrowState.ABANDONED:
        return order
    if order.escrow is None:
        raise DomainError(ErrorCode.ESCROW_NOT_FOUND, "The order has no escrow; cancel the order.", {"orderId": order.id})
    require_order_state(order.state, OrderState.ESCROW_FUNDING)
    return await abandon(transaction, order, FinalStatus.CANCELED, reason)


async def abandon(transaction: Transaction, order: OrderRecord, final_status: FinalStatus, reason: str | None) -> OrderRecord:
    """The same for an order that is locked, in ``ESCROW_FUNDING``."""
    require_idle(order)
    if order.the_escrow.state is not EscrowState.CREATED:
        raise invalid_state("escrow", order.the_escrow.state, [EscrowState.CREATED.value])
    abandoned = await move_escrow(transaction, order, EscrowState.ABANDONED)
    await give_back(transaction, abandoned)
    closed = await close_order(transaction, abandoned, final_status, reason)
    emit_escrow(transaction, "escrow.abandoned", closed)
    if final_status is FinalStatus.CANCELED:
        emit_order(transaction, "order.canceled", closed, reason=reason)
    tell_order_workflow(transaction, order.id)
    return closed
