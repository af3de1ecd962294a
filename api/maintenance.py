"""Maintenance: refuse new money while what runs is finished."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Response

from api import idempotency
from api.answers import Answer, ok, success
from api.auth import Scope
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.fields import NoBody
from api.schemas.maintenance import DrainBody, Maintenance
from offerhub.commands.maintenance import end_drain, start_drain
from offerhub.domain.times import iso
from offerhub.storage.maintenance import Maintenance as State
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Maintenance")


@routes.post("/maintenance/drain", Scope.ADMIN, Documented("Refuse new money", One[Maintenance]))
async def start_draining(call: CurrentCall, body: DrainBody | None = None) -> Response:
    """Every route with `x-moves-money` answers 503 `MAINTENANCE`, in every process within a second and through restarts, until
    the drain is ended. Operations under way are finished, deposits are credited, reads and repeated requests are answered.
    """
    wish = body or DrainBody()
    return await _change(call, lambda transaction: start_drain(transaction, wish.reason))


@routes.delete("/maintenance/drain", Scope.ADMIN, Documented("Take new money again", One[Maintenance]))
async def end_draining(call: CurrentCall, _body: NoBody | None = None) -> Response:
    return await _change(call, end_drain)


@routes.get("/maintenance", Scope.ADMIN, Documented("Is new money refused?", One[Maintenance]))
async def get_maintenance(call: CurrentCall) -> Response:
    return ok(_shown(await call.services.drain.state()))


async def _change(call: Call, command: Callable[[Transaction], Awaitable[State]]) -> Response:
    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(_shown(await command(transaction))))

    answer = await idempotency.run(call, work)
    call.services.drain.forget()
    return answer.response()


def _shown(state: State) -> dict[str, Any]:
    return {
        "draining": state.draining,
        "reason": state.reason,
        "changedBy": state.changed_by,
        "changedAt": iso(state.changed_at),
    }
