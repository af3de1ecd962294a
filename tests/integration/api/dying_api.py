"""``python -m tests.integration.api.dying_api``: the API, and a new one at once whenever it dies, which a request may ask it to do.

A request with ``X-Die-At: n`` kills the process with SIGKILL at its n-th boundary: just before each round trip to PostgreSQL, when a
connection goes back to the pool, and before the answer's head and body are written.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

from psycopg import AsyncConnection
from psycopg.pq import PipelineStatus
from sqlalchemy import event
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import auth, drain
from api.__main__ import ApiServer, server_config
from api.app import create_services
from offerhub.settings import load_settings
from offerhub.telemetry import logs

DIE_AT = "X-Die-At"
_round_trip = AsyncConnection.wait
_left: ContextVar[MutableMapping[str, int] | None] = ContextVar("boundaries left to this request", default=None)


class _Mortal:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wanted = dict(scope.get("headers", ())).get(DIE_AT.lower().encode())

        async def mortal_send(message: Message) -> None:
            _boundary()
            await send(message)

        _left.set({"boundaries": int(wanted)} if wanted else None)
        await self._app(scope, receive, mortal_send)


def _boundary(*_: Any) -> None:
    left = _left.get()
    if left is None:
        return
    left["boundaries"] -= 1
    if left["boundaries"] == 0:
        os.kill(os.getpid(), signal.SIGKILL)


async def _wait(connection: AsyncConnection[Any], *arguments: Any, **options: Any) -> Any:
    # Outside of a session it is the pool that opens a connection, which happens to some requests and not to others.
    if connection.pgconn.pipeline_status != PipelineStatus.OFF:
        _boundary()
    return await _round_trip(connection, *arguments, **options)


def _server() -> ApiServer:
    settings = load_settings()
    logs.configure("WARNING", "json")
    # Nothing is remembered from one request to the next, so that all have the same boundaries, however slow the machine is.
    auth._FRESH_S = drain._FRESH_S = 0.0
    services = create_services(settings)
    event.listen(services.database.engine.sync_engine, "checkin", _boundary)
    AsyncConnection.wait = _wait  # type: ignore[method-assign,assignment]
    config = server_config(services)
    config.app = _Mortal(config.app)  # type: ignore[arg-type]
    return ApiServer(config, services)


def main() -> None:
    """Each life is a fork of one that was made ready and never began, so that dying costs no start."""
    server = _server()
    while True:
        child = os.fork()
        if child == 0:
            server.run()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(1)


if __name__ == "__main__":
    main()
