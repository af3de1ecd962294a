"""The sandbox's HTTP application: Horizon, friendbot, control API and Trustless Work on one port.

Every request but the control API's passes the faults of ``sandbox.faults``, a middleware around all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox.control import control_routes
from sandbox.dispensing import Dispenser
from sandbox.faults.board import FaultBoard
from sandbox.faults.exchange import FaultInjection, Surroundings
from sandbox.faults.kind import Occasion, envelope_bytes
from sandbox.faults.network import NetworkFaults
from sandbox.faults.reads import ReadFaults
from sandbox.faults.routes import fault_routes
from sandbox.faults.trustless_work import TwIndexLag
from sandbox.horizon.answers import not_found
from sandbox.horizon.routes import horizon_routes
from sandbox.ledger.ledger import Ledger
from sandbox.rpc.routes import PATH as RPC_PATH
from sandbox.rpc.routes import rpc_routes
from sandbox.trustless.index import EscrowIndex
from sandbox.trustless.request_limit import RequestLimit
from sandbox.trustless.router import build_router


def build_app(ledger: Ledger, home: Path, trustless_requests_per_minute: int) -> FastAPI:
    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        closing = asyncio.create_task(ledger.run())
        yield
        closing.cancel()
        with suppress(asyncio.CancelledError):
            await closing
        ledger.stop()

    index, board = EscrowIndex(home), FaultBoard()

    def index_lag_s(envelope_xdr: str) -> float:
        fault = board.strike(TwIndexLag, Occasion(envelope=envelope_bytes(envelope_xdr)))
        return 0.0 if fault is None else fault.kind.seconds

    usdc = ledger.usdc
    ledger.disturb(NetworkFaults(board, ledger.network_passphrase, f"{usdc.code}:{usdc.issuer}"))
    board.on_change.append(ledger.reconsider)
    app = FastAPI(lifespan=lifespan, openapi_url=None)
    for status in (404, 405):
        app.add_exception_handler(status, _no_route)
    dispenser, limit = Dispenser(ledger), RequestLimit(trustless_requests_per_minute)
    app.include_router(build_router(ledger, limit, index, index_lag_s), prefix="/trustless-work")
    app.router.routes.extend(control_routes(ledger, dispenser, limit))
    app.router.routes.extend(fault_routes(board))
    app.router.routes.extend(rpc_routes(ledger))
    app.router.routes.extend(horizon_routes(ledger, dispenser, ReadFaults(board, ledger)))
    app.add_middleware(FaultInjection, board=board, surroundings=Surroundings(ledger, index))
    return app


async def _no_route(request: Request, error: Exception) -> Response:
    """Horizon's problem document where it is Horizon's path, a plain one elsewhere."""
    assert isinstance(error, HTTPException)
    if request.url.path.startswith(("/trustless-work/", "/control/", RPC_PATH)):
        return JSONResponse({"message": error.detail, "statusCode": error.status_code}, error.status_code)
    return not_found().response()
