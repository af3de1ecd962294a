"""An order's milestones: delivered by the seller, paid one by one where the order is paid out per milestone."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import Response

from api import present
from api.answers import ok, success
from api.auth import Scope
from api.call import CurrentCall
from api.following import ORDER, Command, run_operation
from api.openapi import Documented, operation_route
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.fields import NoBody
from api.schemas.orders import CompleteMilestoneBody, Milestone, MilestoneWithOperation, OrderWithOperation
from offerhub.commands.milestones import request_completion
from offerhub.commands.release import request_milestone_release
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import orders
from offerhub.storage.orders import OrderRecord

routes = Routes("Milestones")
_C = ErrorCode
_ERRORS = (_C.ORDER_NOT_FOUND, _C.MILESTONE_NOT_FOUND, _C.INVALID_STATE)
_COMPLETE = operation_route("Deliver a milestone", MilestoneWithOperation, 200, _ERRORS)
_RELEASE = operation_route("Pay a milestone out", OrderWithOperation, 200, _ERRORS)


@routes.get("/orders/{order_id}/milestones", Scope.READ, Documented("An order's milestones", One[list[Milestone]], errors=_ERRORS[:1]))
async def get_milestones(call: CurrentCall, order_id: str) -> Response:
    async with call.services.database.reading() as reader:
        order = await orders.get(reader, order_id)
    if order is None:
        raise DomainError(_C.ORDER_NOT_FOUND, f"There is no order {order_id[:64]}.", {"orderId": order_id[:64]})
    return ok([present.milestone(order, one) for one in order.milestones])


@routes.post("/orders/{order_id}/milestones/{ref}/complete", Scope.WRITE, _COMPLETE)
async def complete_milestone(call: CurrentCall, order_id: str, ref: str, body: CompleteMilestoneBody | None = None) -> Response:
    """Recorded on the contract, signed by the seller. Where the order is released automatically, its time begins when all is delivered."""

    def show(order: OrderRecord) -> dict[str, Any]:
        return success(next(present.milestone(order, one) for one in order.milestones if one.ref == ref))

    accept = partial(request_completion, order_id=order_id, ref=ref, evidence=body.evidence if body else None)
    return (await run_operation(call, Command(accept, about=replace(ORDER, show=show)))).response()


@routes.post("/orders/{order_id}/milestones/{ref}/release", Scope.WRITE, _RELEASE, moves_money=True)
async def release_milestone(call: CurrentCall, order_id: str, ref: str, _body: NoBody | None = None) -> Response:
    """For orders with `releaseMode: per_milestone`. What the contract does not record yet (delivery, approval) is recorded first."""
    return (await run_operation(call, Command(partial(request_milestone_release, order_id=order_id, ref=ref)))).response()
