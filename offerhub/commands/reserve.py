"""Set the buyer's money aside for an order, and give it back when the order is canceled before an escrow exists."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from offerhub.commands.balances import BalanceChange, book, book_on_locked
from offerhub.commands.order_facts import close_order, emit_order, lock_order, lock_order_with_purse, move_order, tell_order_workflow
from offerhub.commands.orders import check_active
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount
from offerhub.domain.states import FinalStatus, OrderState, require_order_state
from offerhub.storage import clock, orders, users
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import Purse


async def reserve_order(transaction: Transaction, order_id: str) -> OrderRecord:
    """Buyer ``available → reserved``, all or nothing.

    Raises ``FUNDS_ALREADY_RESERVED``, ``INSUFFICIENT_FUNDS``, ``INVALID_STATE``, ``USER_SUSPENDED``.
    """
    return await _reserve(transaction, *await lock_order_with_purse(transaction, order_id))


async def reserve(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    """The same for an order that is locked already."""
    return await _reserve(transaction, order, await users.lock_purse(transaction, order.buyer_id))


async def _reserve(transaction: Transaction, order: OrderRecord, purse: Purse) -> OrderRecord:
    if order.state is OrderState.FUNDS_RESERVED:
        raise DomainError(ErrorCode.FUNDS_ALREADY_RESERVED, "The buyer's funds are reserved already.", {"orderId": order.id})
    require_order_state(order.state, OrderState.ORDER_CREATED)
    check_active(order.buyer_id, purse.status)
    if purse.available < order.amount:
        raise insufficient_funds(purse.available, order.amount)
    change = BalanceChange("balance.reserved", order.buyer_id, order.amount, "order_reservation", order.id)
    book_on_locked(transaction, ledger.reserve(order.id, order.buyer_id, order.amount), change, purse)
    moved = await move_order(transaction, await _with_deadline(transaction, order), OrderState.FUNDS_RESERVED)
    tell_order_workflow(transaction, order.id)
    return moved


async def cancel_order(transaction: Transaction, order_id: str, reason: str | None, canceled_by: str | None) -> OrderRecord:
    """Close an order that has no escrow; a reservation goes back to the buyer. Canceling twice answers the canceled order."""
    order = await lock_order(transaction, order_id)
    if order.final_status is FinalStatus.CANCELED:
        return order
    require_order_state(order.state, OrderState.ORDER_CREATED, OrderState.FUNDS_RESERVED)
    if order.state is OrderState.FUNDS_RESERVED:
        await give_back(transaction, order)
    closed = await close_order(transaction, order, FinalStatus.CANCELED, reason)
    transaction.audit("order.cancel_reason", ("order", order.id), None, {"reason": reason, "canceledBy": canceled_by})
    emit_order(transaction, "order.canceled", closed, reason=reason)
    tell_order_workflow(transaction, order.id)
    return closed


async def give_back(transaction: Transaction, order: OrderRecord) -> None:
    """The reservation returns to what the buyer has available."""
    change = BalanceChange("balance.released", order.buyer_id, order.amount, "reservation_canceled", order.id)
    await book(transaction, ledger.unreserve(order.id, order.buyer_id, order.amount), change)


async def _with_deadline(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    if order.reservation_expires_after_s is None:
        return order
    expires_at = await clock.engine_now(transaction) + timedelta(seconds=order.reservation_expires_after_s)
    await orders.set_deadlines(transaction, order.id, expires_at, order.auto_release_at)
    return replace(order, reservation_expires_at=expires_at)


def insufficient_funds(available: int, requested: int) -> DomainError:
    return DomainError(
        ErrorCode.INSUFFICIENT_FUNDS,
        f"{format_amount(available)} USDC are available, {format_amount(requested)} are needed.",
        {"available": format_amount(available), "requested": format_amount(requested), "currency": "USDC"},
    )
