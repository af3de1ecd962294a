"""The sandbox's HTTP application: Horizon, friendbot, control API and Trustless Work on one port.

Every request passes through this application, so this is the place where faults (dropped answers, delays, wrong
statuses) can be put between client and network, as a middleware around it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI

from sandbox.control import control_routes
from sandbox.dispensing import Dispenser
from sandbox.horizon.routes import horizon_routes
from sandbox.ledger.ledger import Ledger
from sandbox.trustless.router import build_router


def build_app(ledger: Ledger, home: Path, trustless_requests_per_minute: int) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        closing = asyncio.create_task(ledger.run())
        closing.add_done_callback(_end_process_on_failure)
        yield
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        ledger.stop()

    app = FastAPI(lifespan=lifespan, openapi_url=None)
    dispenser = Dispenser(ledger)
    app.include_router(build_router(ledger, trustless_requests_per_minute, home), prefix="/trustless-work")
    app.router.routes.extend(control_routes(ledger, dispenser))
    app.router.routes.extend(horizon_routes(ledger, dispenser))
    return app


def _end_process_on_failure(closing: asyncio.Task[None]) -> None:
    """A network whose ledgers no longer close must not look alive: its supervisor restarts it from the last close."""
    if not closing.cancelled() and closing.exception() is not None:
        raise SystemExit(f"the ledger can no longer close: {closing.exception()!r}")
