"""An order's escrow: deploy the contract and fund it."""

from __future__ import annotations

from functools import partial

from fastapi import Response

from api.auth import Scope
from api.call import CurrentCall
from api.following import Command, run_operation
from api.openapi import operation_route
from api.routing import Routes
from api.schemas.fields import NoBody
from api.schemas.orders import OrderWithOperation
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.domain.errors import ErrorCode

routes = Routes("Escrow")
_C = ErrorCode
_CREATE_ERRORS = (_C.ORDER_NOT_FOUND, _C.ESCROW_ALREADY_EXISTS, _C.INVALID_STATE, _C.WALLET_NOT_READY, _C.USER_SUSPENDED)
_FUND_ERRORS = (_C.ORDER_NOT_FOUND, _C.ESCROW_NOT_FOUND, _C.ESCROW_NOT_READY, _C.ESCROW_ALREADY_FUNDED, _C.INVALID_STATE)
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
