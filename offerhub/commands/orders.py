"""Create an order between two users: no money moves yet."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from offerhub.commands.order_facts import emit_order, tell_order_workflow
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import MAX_ORDER_STROOPS, format_amount
from offerhub.domain.states import MilestoneState, OrderState, ReleaseMode
from offerhub.storage import orders, users
from offerhub.storage.orders import MilestoneRecord, OrderRecord
from offerhub.storage.unit_of_work import Transaction, new_id
from offerhub.storage.users import Standing

# A single-release contract holds at least one milestone; an order without any gets this one.
DEFAULT_MILESTONE_REF = "delivery"


@dataclass(frozen=True)
class MilestoneWish:
    ref: str
    title: str
    amount_stroops: int | None = None


@dataclass(frozen=True)
class CreateOrder:
    buyer_id: str
    seller_id: str
    amount_stroops: int
    currency: str
    title: str
    description: str | None = None
    client_order_ref: str | None = None
    milestones: tuple[MilestoneWish, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    release_mode: ReleaseMode = ReleaseMode.SINGLE
    auto_release_after_s: int | None = None
    reservation_expires_after_s: int | None = None


@dataclass(frozen=True)
class Terms:
    """What the platform's settings put into an order for good, and whether there is a contract for payouts per milestone at all."""

    platform_fee_bps: int = 0
    make_buyer_whole: bool = False
    offers_per_milestone: bool = True


async def create_order(transaction: Transaction, request: CreateOrder, terms: Terms) -> OrderRecord:
    """The platform's terms are frozen on the order. Milestone amounts, where given, must sum to the order's amount."""
    if request.buyer_id == request.seller_id:
        raise _invalid("sellerId", "buyer and seller must be two users")
    if request.amount_stroops > MAX_ORDER_STROOPS:
        limit = format_amount(MAX_ORDER_STROOPS)
        raise DomainError(ErrorCode.LIMIT_EXCEEDED, f"An order holds at most {limit} USDC.", {"limit": limit})
    if request.release_mode is ReleaseMode.PER_MILESTONE and not terms.offers_per_milestone:
        raise _invalid("releaseMode", "this installation has no multi-release contract; orders are paid out as a whole")
    _check_milestones(request)
    standings = await users.standings(transaction, (request.buyer_id, request.seller_id))
    for user_id in (request.buyer_id, request.seller_id):
        check_standing(user_id, standings.get(user_id))
    order = _new_order(transaction, request, terms)
    orders.insert(transaction, order)
    emit_order(transaction, "order.created", order, clientOrderRef=order.client_order_ref)
    after = {"state": order.state, "amount": format_amount(order.amount), "buyerId": order.buyer_id, "sellerId": order.seller_id}
    transaction.audit("order.created", ("order", order.id), None, after)
    tell_order_workflow(transaction, order.id)
    return order


def check_standing(user_id: str, standing: Standing | None) -> None:
    """The user exists and is not suspended."""
    if standing is None:
        raise DomainError(ErrorCode.USER_NOT_FOUND, f"There is no user {user_id}.", {"userId": user_id})
    check_active(user_id, standing.status)


def check_active(user_id: str, status: str) -> None:
    if status != "ACTIVE":
        raise DomainError(ErrorCode.USER_SUSPENDED, f"User {user_id} is suspended.", {"userId": user_id})


def _new_order(transaction: Transaction, request: CreateOrder, terms: Terms) -> OrderRecord:
    wishes = request.milestones or (MilestoneWish(DEFAULT_MILESTONE_REF, request.title, request.amount_stroops),)
    milestones = tuple(
        MilestoneRecord(new_id("mst"), position, wish.ref, wish.title, wish.amount_stroops, MilestoneState.OPEN)
        for position, wish in enumerate(wishes)
    )
    return OrderRecord(
        id=new_id("ord"),
        client_order_ref=request.client_order_ref,
        buyer_id=request.buyer_id,
        seller_id=request.seller_id,
        amount=request.amount_stroops,
        currency=request.currency,
        title=request.title,
        description=request.description,
        state=OrderState.ORDER_CREATED,
        final_status=None,
        platform_fee_bps=terms.platform_fee_bps,
        cancel_reason=None,
        metadata=request.metadata,
        created_at=transaction.now,
        updated_at=transaction.now,
        closed_at=None,
        milestones=milestones,
        release_mode=request.release_mode,
        reservation_expires_after_s=request.reservation_expires_after_s,
        auto_release_after_s=request.auto_release_after_s,
        make_buyer_whole=terms.make_buyer_whole,
    )


def _check_milestones(request: CreateOrder) -> None:
    amounts = [wish.amount_stroops for wish in request.milestones if wish.amount_stroops is not None]
    if amounts and len(amounts) != len(request.milestones):
        raise _invalid("milestones", "give every milestone an amount, or none")
    if amounts and sum(amounts) != request.amount_stroops:
        raise _invalid(
            "milestones",
            f"milestone amounts sum to {format_amount(sum(amounts))}, the order's amount is {format_amount(request.amount_stroops)}",
        )
    if request.release_mode is ReleaseMode.PER_MILESTONE and not amounts:
        raise _invalid("milestones", "an order that is paid out per milestone needs milestones with amounts")
    refs = [wish.ref for wish in request.milestones]
    if len(set(refs)) != len(refs):
        raise _invalid("milestones", "milestone refs must differ")


def _invalid(field_name: str, message: str) -> DomainError:
    fields = [{"field": field_name, "message": message}]
    return DomainError(ErrorCode.VALIDATION_ERROR, f"{field_name}: {message}.", {"fields": fields})
