"""An order's escrow: deploy the contract, fund it, both at once with the reservation, or abandon it unfunded."""

from __future__ import annotations

from functools import partial

from fastapi import Response

from api import idempotency, present
from api.answers import Answer, success
from api.auth import Scope
from api.call import CurrentCall
from api.following import Command, run_operation
from api.openapi import Documented, operation_route
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.fields import NoBody
from api.schemas.orders import AbandonBody, Order, OrderWithOperation
from offerhub.commands.checkout import abandon_escrow, request_checkout
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.domain.errors import ErrorCode
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Escrow")
_C = ErrorCode
_CREATE_ERRORS = (_C.ORDER_NOT_FOUND, _C.ESCROW_ALREADY_EXISTS, _C.INVALID_STATE, _C.WALLET_NOT_READY, _C.USER_SUSPENDED)
_FUND_ERRORS = (_C.ORDER_NOT_FOUND, _C.ESCROW_NOT_FOUND, _C.ESCROW_NOT_READY, _C.ESCROW_ALREADY_FUNDED, _C.INVALID_STATE)
_CHECKOUT_ERRORS = (*_CREATE_ERRORS, _C.INSUFFICIENT_FUNDS)
_CHECKOUT = operation_route("Reserve, create the escrow and fund it", OrderWithOperation, 200, _CHECKOUT_ERRORS)
_ABANDON = Documented(
    "Abandon an escrow that was never funded", One[Order], errors=(_C.ORDER_NOT_FOUND, _C.ESCROW_NOT_FOUND, _C.INVALID_STATE)
)
_CREATE = operation_route("Create the escrow contract", OrderWithOperation, 201, _CREATE_ERRORS)
_FUND = operation_route("Fund the escrow", OrderWithOperation, 200, _FUND_ERRORS)


@routes.post("/orders/{order_id}/escrow", Scope.WRITE, _CREATE, moves_money=True)
async def create_escrow(call: CurrentCall, order_id: str, _body: NoBody | None = None) -> Response:
    """Deploys the order's contract. Needs reserved funds and both wallets."""
    answer = await run_operation(call, Command(partial(request_escrow, order_id=order_id), 201))
    return answer.response()


@routes.post("/orders/{order_id}/escrow/fund", Scope.WRITE, _FUND, moves_money=True)
async def fund_escrow(call: CurrentCall, order_id: str, _body: NoBody | None = None) -> Response:
    """Moves the reserved money into the contract; the order is `IN_PROGRESS` afterwards."""
    answer = await run_operation(call, Command(partial(request_funding, order_id=order_id)))
    return answer.response()


@routes.post("/orders/{order_id}/checkout", Scope.WRITE, _CHECKOUT, moves_money=True)
async def checkout_order(call: CurrentCall, order_id: str, _body: NoBody | None = None) -> Response:
    """From `ORDER_CREATED` (or `FUNDS_RESERVED`) to `IN_PROGRESS` in one operation. A refused step leaves the order where it got to."""
    answer = await run_operation(call, Command(partial(request_checkout, order_id=order_id)))
    return answer.response()


@routes.post("/orders/{order_id}/escrow/abandon", Scope.WRITE, _ABANDON)
async def abandon_order_escrow(call: CurrentCall, order_id: str, body: AbandonBody | None = None) -> Response:
    """Closes the order and gives the reservation back; the empty contract stays on the chain and is never used."""
    reason = body.reason if body else None

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.order(await abandon_escrow(transaction, order_id, reason))))

    return (await idempotency.run(call, work, idempotency.WEEK)).response()
