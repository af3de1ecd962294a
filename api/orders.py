"""Orders: create, read, reserve, cancel."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from fastapi import Query, Response

from api import idempotency, present, problems
from api.answers import API_PREFIX, Answer, ok, page, success
from api.auth import Scope
from api.call import NOTHING_TO_QUOTE, CurrentCall
from api.following import Command, rehearse, run_operation
from api.openapi import Documented, operation_route
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.fields import NoBody
from api.schemas.orders import CancelBody, CreateOrderBody, Order, OrderMaybeWithOperation, OrderQuery
from api.schemas.timeline import OrderWithTimeline
from api.timeline import MOST_ITEMS, shown
from offerhub.commands import orders as creating
from offerhub.commands import reserve as reserving
from offerhub.commands.checkout import request_checkout
from offerhub.commands.order_facts import Accepted
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms
from offerhub.commands.quotes import Quote, quote_reservation
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.settings import Settings
from offerhub.storage import orders, timeline
from offerhub.storage.orders import OrderFilter, OrderRecord
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Orders")
_C = ErrorCode
_MISSING = (_C.ORDER_NOT_FOUND,)
_CREATE_ERRORS = (
    *(_C.INVALID_AMOUNT_FORMAT, _C.INVALID_CURRENCY, _C.USER_NOT_FOUND, _C.USER_SUSPENDED),
    *(_C.INSUFFICIENT_FUNDS, _C.WALLET_NOT_READY, _C.LIMIT_EXCEEDED, _C.MAINTENANCE),
)
_CREATE = replace(operation_route("Create an order", OrderMaybeWithOperation, 201, _CREATE_ERRORS), quotes=True)
_RESERVE_ERRORS = (*_MISSING, _C.FUNDS_ALREADY_RESERVED, _C.INVALID_STATE, _C.INSUFFICIENT_FUNDS, _C.USER_SUSPENDED)
_RESERVE = Documented("Reserve the buyer's money", One[Order], errors=_RESERVE_ERRORS)


@routes.post("/orders", Scope.WRITE, _CREATE)
async def create_order(call: CurrentCall, body: CreateOrderBody) -> Response:
    """The platform fee is frozen on the order, and `quote` says what a release will pay. No money moves yet, unless `checkout` says so:
    `reserve` also reserves, `fund` carries out the whole checkout; all of it or nothing is accepted.
    """

    async def create(transaction: Transaction) -> OrderRecord:
        return await creating.create_order(transaction, _request(body), _terms(call.services.settings))

    async def work(transaction: Transaction) -> Answer:
        order = await create(transaction)
        if body.checkout == "reserve":
            order = await reserving.reserve(transaction, order)
        return Answer(201, success(present.order(order)), f"{API_PREFIX}/orders/{order.id}")

    async def check_out(transaction: Transaction) -> Accepted:
        return await request_checkout(transaction, (await create(transaction)).id)

    async def judge(transaction: Transaction) -> Quote:
        return quote_reservation(await reserving.reserve(transaction, await create(transaction)))

    if call.dry_run and body.checkout is None:
        raise problems.invalid([("dryRun", NOTHING_TO_QUOTE)])
    asked = replace(call, moves_money=body.checkout is not None)
    if body.checkout == "fund":
        return (await run_operation(asked, Command(check_out, 201))).response()
    if call.dry_run:
        return (await rehearse(call, judge)).response()
    return (await idempotency.run(asked, work, idempotency.WEEK)).response()


_BY_METADATA = {
    "name": "metadata",
    "in": "query",
    "required": False,
    "style": "deepObject",
    "explode": True,
    "schema": {"type": "object", "additionalProperties": {"type": "string"}, "examples": [{"cart": "4711"}]},
}
_LIST = Documented("List orders", Page[Order], parameters=(_BY_METADATA,))


@routes.get("/orders", Scope.READ, _LIST)
async def list_orders(call: CurrentCall, query: Annotated[OrderQuery, Query()]) -> Response:
    """Filter by metadata with `metadata[key]=value`."""
    after, before = query.between
    wanted = OrderFilter(query.buyer_id, query.seller_id, query.status, query.client_order_ref, after, before, query.metadata)
    async with call.services.database.reading() as reader:
        found = await orders.page(reader, wanted, query.cursor, query.limit + 1)
    return page(found, query.limit, present.order)


@routes.get("/orders/{order_id}", Scope.READ, Documented("Read an order", One[OrderWithTimeline], errors=_MISSING))
async def get_order(call: CurrentCall, order_id: str) -> Response:
    async with call.services.database.reading() as reader:
        found = await timeline.with_order(reader, order_id, MOST_ITEMS)
    if found is None:
        raise DomainError(_C.ORDER_NOT_FOUND, f"There is no order {order_id[:64]}.", {"orderId": order_id[:64]})
    order, items = found
    return ok({**present.order(order), "timeline": [shown(one) for one in items]})


@routes.post("/orders/{order_id}/reserve", Scope.WRITE, _RESERVE, moves_money=True)
async def reserve_order(call: CurrentCall, order_id: str, _body: NoBody | None = None) -> Response:
    """Buyer's `available` to `reserved`, all or nothing."""

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.order(await reserving.reserve_order(transaction, order_id))))

    async def judge(transaction: Transaction) -> Quote:
        return quote_reservation(await reserving.reserve_order(transaction, order_id))

    if call.dry_run:
        return (await rehearse(call, judge)).response()
    return (await idempotency.run(call, work, idempotency.WEEK)).response()


@routes.post("/orders/{order_id}/cancel", Scope.WRITE, Documented("Cancel an order", One[Order], errors=(*_MISSING, _C.INVALID_STATE)))
async def cancel_order(call: CurrentCall, order_id: str, body: CancelBody | None = None) -> Response:
    """Only before the escrow exists; a reservation goes back to the buyer. Canceling twice is harmless."""
    wish = body or CancelBody()

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.order(await reserving.cancel_order(transaction, order_id, wish.reason, wish.canceled_by))))

    return (await idempotency.run(call, work, idempotency.WEEK)).response()


def _terms(settings: Settings) -> Terms:
    return Terms(settings.platform_fee_bps, settings.make_buyer_whole, bool(settings.trustless_work_multi_wasm_hash))


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
        release_mode=body.release_mode,
        auto_release_after_s=body.auto_release_after_seconds,
        reservation_expires_after_s=body.reservation_expires_after_seconds,
    )
