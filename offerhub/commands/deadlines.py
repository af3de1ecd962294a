"""What happens by itself when time has passed: reservations expire, delivered work is paid, undecided disputes are escalated and decided.

The workflows' timers and the sweep (``tell_passed``) only say that it may be time; whether it is, the engine's clock decides here.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from offerhub.commands.checkout import abandon
from offerhub.commands.dispute_facts import dispute_view, emit_dispute, lock_dispute
from offerhub.commands.milestones import next_to_pay
from offerhub.commands.order_facts import (
    close_order,
    emit_order,
    is_unfunded,
    lock_order,
    tell_dispute_workflow,
    tell_order_workflow,
    view,
)
from offerhub.commands.release import request_milestone_release, request_release
from offerhub.commands.reserve import give_back
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.messages import DisputeView, OrderView
from offerhub.domain.states import DisputeState, FinalStatus, OrderState
from offerhub.domain.times import iso
from offerhub.storage import clock, disputes, maintenance
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

_BY_ITSELF = "deadline"


async def pass_order_deadline(transaction: Transaction, order_id: str) -> OrderView:
    """Do what is due on an order; nothing when nothing is, or while an operation runs (its end is a new occasion).

    While the instance is drained a reservation expires, but no payment begins.
    """
    order = await lock_order(transaction, order_id)
    now = await clock.engine_now(transaction)
    if order.operation is not None:
        return view(order)
    if is_unfunded(order) and _is_due(order.reservation_expires_at, now):
        return view(await _expire(transaction, order))
    releases = order.state is OrderState.IN_PROGRESS and _is_due(order.auto_release_at, now)
    if releases and not await _is_drained(transaction):
        return view(await _release(transaction, order))
    return view(order)


async def pass_dispute_deadline(transaction: Transaction, dispute_id: str) -> DisputeView:
    """Escalate, or decide by default; not before the contract is frozen, nor while the instance is drained."""
    order, dispute = await lock_dispute(transaction, dispute_id)
    now = await clock.engine_now(transaction)
    if dispute.state not in (DisputeState.OPEN, DisputeState.UNDER_REVIEW):
        return dispute_view(order, dispute)
    if dispute.escalated_at is None and _is_due(dispute.escalates_at, now):
        dispute = replace(dispute, escalated_at=transaction.now)
        await disputes.save(transaction, dispute)
        transaction.audit("dispute.escalated", ("dispute", dispute.id), None, {"assignedTo": dispute.assigned_to})
        emit_dispute(transaction, "dispute.escalated", (order, dispute), assignedTo=dispute.assigned_to)
    decidable = dispute.frozen_hash is not None and order.operation is None
    default = dispute.default_decision if decidable and _is_due(dispute.decides_at, now) else None
    if default is not None and not await _is_drained(transaction):
        wanted = ResolveDispute(dispute.id, default, _BY_ITSELF, note="nobody decided in time")
        accepted = await resolve_dispute(transaction, wanted)
        return dispute_view(accepted.order, accepted.dispute)
    return dispute_view(order, dispute)


async def tell_passed(transaction: Transaction, since: datetime) -> datetime:
    """Tell the workflows of every deadline that passed after ``since``; returns up to when that is."""
    now = await clock.engine_now(transaction)
    for order_id in await clock.passed_orders(transaction, since, now):
        tell_order_workflow(transaction, order_id, is_due=True)
    for dispute_id in await clock.passed_disputes(transaction, since, now):
        tell_dispute_workflow(transaction, dispute_id, is_due=True)
    return now


async def _expire(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    expired_at = order.reservation_expires_at
    if order.state is OrderState.ESCROW_FUNDING:
        closed = await abandon(transaction, order, FinalStatus.EXPIRED, "the reservation expired")
    else:
        await give_back(transaction, order)
        closed = await close_order(transaction, order, FinalStatus.EXPIRED, "the reservation expired")
    emit_order(transaction, "order.expired", closed, reservationExpiresAt=iso(expired_at))
    return closed


async def _release(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    if not order.is_per_milestone:
        return (await request_release(transaction, order.id, "the time for objections has passed", _BY_ITSELF)).order
    delivered = await next_to_pay(transaction, order)
    return (await request_milestone_release(transaction, order.id, delivered.ref)).order if delivered else order


async def _is_drained(transaction: Transaction) -> bool:
    return (await maintenance.get(transaction)).draining


def _is_due(deadline: datetime | None, now: datetime) -> bool:
    return deadline is not None and deadline <= now
