"""``python -m tests.integration.api.dying_api``: the API, and a new one at once whenever it dies, which a request may ask it to do.

A request with ``X-Die-At: n`` kills the process with SIGKILL at its n-th boundary: just before each statement it sends to PostgreSQL,
before each commit, when a connection goes back to the pool, and before the answer's head and body are written.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import MutableMapping
from contextvars import ContextVar
from typing import Any

from sqlalchemy import event
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.__main__ import ApiServer, server_config
from api.app import create_services
from offerhub.settings import load_settings
from offerhub.telemetry import logs

DIE_AT = "X-Die-At"
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


def _serve() -> None:
    settings = load_settings()
    logs.configure("WARNING", "json")
    services = create_services(settings)
    engine = services.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", _boundary)
    event.listen(engine, "commit", _boundary)
    event.listen(engine, "checkin", _boundary)
    config = server_config(services)
    config.app = _Mortal(config.app)  # type: ignore[arg-type]
    ApiServer(config, services).run()


def main() -> None:
    """Everything is imported once; each life is a fork, so that dying costs no start."""
    while True:
        child = os.fork()
        if child == 0:
            _serve()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(1)


if __name__ == "__main__":
    main()
