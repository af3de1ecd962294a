"""Orders: create, read, reserve, cancel."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api import idempotency, present
from api.answers import API_PREFIX, Answer, ok, page, success
from api.auth import Scope
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.fields import NoBody
from api.schemas.orders import CancelBody, CreateOrderBody, Milestone, Order, OrderQuery
from offerhub.commands import orders as creating
from offerhub.commands import reserve as reserving
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.settings import Settings
from offerhub.storage import orders
from offerhub.storage.orders import OrderFilter, OrderRecord
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Orders")
_C = ErrorCode
_MISSING = (_C.ORDER_NOT_FOUND,)
_CREATE = Documented(
    "Create an order", One[Order], 201, errors=(_C.INVALID_AMOUNT_FORMAT, _C.INVALID_CURRENCY, _C.USER_NOT_FOUND, _C.USER_SUSPENDED)
)
_RESERVE_ERRORS = (*_MISSING, _C.FUNDS_ALREADY_RESERVED, _C.INVALID_STATE, _C.INSUFFICIENT_FUNDS)
_RESERVE = Documented("Reserve the buyer's money", One[Order], errors=_RESERVE_ERRORS)


@routes.post("/orders", Scope.WRITE, _CREATE)
async def create_order(call: CurrentCall, body: CreateOrderBody) -> Response:
    """No money moves yet. The platform fee is frozen on the order, and `quote` says what a release will pay."""

    async def work(transaction: Transaction) -> Answer:
        order = await creating.create_order(transaction, _request(body), _terms(call.services.settings))
        return Answer(201, success(present.order(order)), f"{API_PREFIX}/orders/{order.id}")

    return (await idempotency.run(call, work, idempotency.WEEK)).response()


@routes.get("/orders", Scope.READ, Documented("List orders", Page[Order]))
async def list_orders(call: CurrentCall, query: Annotated[OrderQuery, Query()]) -> Response:
    """Filter by metadata with `metadata[key]=value`."""
    after, before = query.between
    wanted = OrderFilter(query.buyer_id, query.seller_id, query.status, query.client_order_ref, after, before, query.metadata)
    async with call.services.database.reading() as reader:
        found = await orders.page(reader, wanted, query.cursor, query.limit + 1)
    return page(found, query.limit, present.order)


@routes.get("/orders/{order_id}", Scope.READ, Documented("Read an order", One[Order], errors=_MISSING))
async def get_order(call: CurrentCall, order_id: str) -> Response:
    return ok(present.order(await _read(call, order_id)))


@routes.get("/orders/{order_id}/milestones", Scope.READ, Documented("An order's milestones", One[list[Milestone]], errors=_MISSING))
async def get_milestones(call: CurrentCall, order_id: str) -> Response:
    return ok([present.milestone(one) for one in (await _read(call, order_id)).milestones])


@routes.post("/orders/{order_id}/reserve", Scope.WRITE, _RESERVE, moves_money=True)
async def reserve_order(call: CurrentCall, order_id: str, _body: NoBody | None = None) -> Response:
    """Buyer's `available` to `reserved`, all or nothing."""

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.order(await reserving.reserve_order(transaction, order_id))))

    return (await idempotency.run(call, work, idempotency.WEEK)).response()


@routes.post("/orders/{order_id}/cancel", Scope.WRITE, Documented("Cancel an order", One[Order], errors=(*_MISSING, _C.INVALID_STATE)))
async def cancel_order(call: CurrentCall, order_id: str, body: CancelBody | None = None) -> Response:
    """Only before the escrow exists; a reservation goes back to the buyer. Canceling twice is harmless."""
    wish = body or CancelBody()

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.order(await reserving.cancel_order(transaction, order_id, wish.reason, wish.canceled_by))))

    return (await idempotency.run(call, work, idempotency.WEEK)).response()


def _terms(settings: Settings) -> Terms:
    return Terms(settings.platform_fee_bps, settings.make_buyer_whole)


def _request(body: CreateOrderBody) -> CreateOrder:
    return CreateOrder(
        buyer_id=body.buyer_id,
        seller_id=body.seller_id,
        amount_stroops=body.amount,
        currency=body.currency,
        title=body.title,
        description=body.description,
        client_order_ref=body.client_order_ref,
        milestones=tuple(MilestoneWish(one.milestone_ref, one.title, one.amount) for one in body.milestones),
        metadata=body.metadata,
    )


async def _read(call: Call, order_id: str) -> OrderRecord:
    async with call.services.database.reading() as reader:
        order = await orders.get(reader, order_id)
    if order is None:
        raise DomainError(_C.ORDER_NOT_FOUND, f"There is no order {order_id[:64]}.", {"orderId": order_id[:64]})
    return order
