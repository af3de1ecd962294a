"""How an order ends: release to the seller, refund to the buyer, or a dispute that support decides."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

from fastapi import Response

from api import idempotency, present
from api.answers import Answer, success
from api.auth import Scope
from api.call import CurrentCall
from api.following import DISPUTE, Command, run_operation
from api.openapi import Documented, operation_route
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.disputes import DisputeWithOperation, OpenDisputeBody
from api.schemas.fields import NoBody
from api.schemas.orders import ExtendBody, Order, OrderWithOperation, RefundBody, ReleaseBody
from offerhub.commands.dispute_facts import AcceptedDispute, DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.milestones import extend_release
from offerhub.commands.refund import request_compensation, request_refund
from offerhub.commands.release import request_release
from offerhub.domain.errors import ErrorCode
from offerhub.domain.plans import Party
from offerhub.settings import Settings
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Resolution")
_C = ErrorCode
_MISSING = (_C.ORDER_NOT_FOUND, _C.MILESTONE_NOT_FOUND)
_RELEASE = operation_route("Release to the seller", OrderWithOperation, 200, (_C.ORDER_NOT_FOUND, _C.INVALID_STATE))
_REFUND = operation_route("Refund the buyer", OrderWithOperation, 200, (*_MISSING, _C.INVALID_STATE, _C.DISPUTE_ALREADY_OPEN))
_COMPENSATE = operation_route("Pay the buyer's lost fees back", OrderWithOperation, 200, (_C.ORDER_NOT_FOUND, _C.INVALID_STATE))
_DISPUTE = operation_route("Open a dispute", DisputeWithOperation, 201, (*_MISSING, _C.INVALID_STATE, _C.DISPUTE_ALREADY_OPEN))
_EXTEND = Documented("Put the automatic release off", One[Order], errors=(_C.ORDER_NOT_FOUND, _C.INVALID_STATE, _C.LIMIT_EXCEEDED))


@routes.post("/orders/{order_id}/resolution/release", Scope.WRITE, _RELEASE, moves_money=True)
async def release_order(call: CurrentCall, order_id: str, body: ReleaseBody | None = None) -> Response:
    """Pays the contract out as quoted. Releasing twice is answered with the first release."""
    wish = body or ReleaseBody()
    command = partial(request_release, order_id=order_id, reason=wish.reason, requested_by=wish.requested_by)
    answer = await run_operation(call, Command(command))
    return answer.response()


@routes.post("/orders/{order_id}/resolution/refund", Scope.WRITE, _REFUND, moves_money=True)
async def refund_order(call: CurrentCall, order_id: str, body: RefundBody) -> Response:
    """The contract is disputed and resolved to the buyer at once; its fees are taken from the refund unless the platform pays them back."""
    command = partial(request_refund, order_id=order_id, reason=body.reason, milestone_ref=body.milestone_ref)
    return (await run_operation(call, Command(command))).response()


@routes.post("/orders/{order_id}/resolution/compensation", Scope.WRITE, _COMPENSATE, moves_money=True)
async def compensate_buyer(call: CurrentCall, order_id: str, _body: NoBody | None = None) -> Response:
    """Pays the fees of a full refund back once more, after the platform's wallet held too little for it."""
    return (await run_operation(call, Command(partial(request_compensation, order_id=order_id)))).response()


@routes.post("/orders/{order_id}/resolution/dispute", Scope.WRITE, _DISPUTE)
async def dispute_order(call: CurrentCall, order_id: str, body: OpenDisputeBody) -> Response:
    """Freezes the contract on the chain at once; then support decides (`POST /disputes/{id}/resolve`)."""
    wanted = OpenDispute(
        order_id=order_id,
        opened_by=Party(body.opened_by.lower()),
        reason=body.reason,
        description=body.description,
        evidence=tuple(body.evidence),
        milestone_ref=body.milestone_ref,
    )

    async def accept(transaction: Transaction) -> AcceptedDispute:
        return await open_dispute(transaction, wanted, _deadlines(call.services.settings))

    return (await run_operation(call, Command(accept, 201, DISPUTE))).response()


@routes.post("/orders/{order_id}/resolution/extend", Scope.WRITE, _EXTEND)
async def extend_order_release(call: CurrentCall, order_id: str, body: ExtendBody) -> Response:
    """Moves `autoReleaseAt` to later. Either party may ask for it; it can be repeated."""

    async def work(transaction: Transaction) -> Answer:
        by = timedelta(seconds=body.extend_by_seconds)
        return Answer(200, success(present.order(await extend_release(transaction, order_id, by, body.requested_by))))

    return (await idempotency.run(call, work, idempotency.WEEK)).response()


def _deadlines(settings: Settings) -> DisputeDeadlines:
    return DisputeDeadlines.configured(
        settings.dispute_escalates_after_s, settings.dispute_decides_after_s, settings.dispute_default_decision
    )
