"""How an order ends: release to the seller."""

from __future__ import annotations

from functools import partial

from fastapi import Response

from api.auth import Scope
from api.call import CurrentCall
from api.following import Command, run_operation
from api.openapi import operation_route
from api.routing import Routes
from api.schemas.orders import OrderWithOperation, ReleaseBody
from offerhub.commands.release import request_release
from offerhub.domain.errors import ErrorCode

routes = Routes("Resolution")
_RELEASE = operation_route("Release to the seller", OrderWithOperation, 200, (ErrorCode.ORDER_NOT_FOUND, ErrorCode.INVALID_STATE))


@routes.post("/orders/{order_id}/resolution/release", Scope.WRITE, _RELEASE, moves_money=True)
async def release_order(call: CurrentCall, order_id: str, body: ReleaseBody | None = None) -> Response:
    """Pays the contract out as quoted. Releasing twice is answered with the first release."""
    wish = body or ReleaseBody()
    command = partial(request_release, order_id=order_id, reason=wish.reason, requested_by=wish.requested_by)
    answer = await run_operation(call, Command(command))
    return answer.response()
