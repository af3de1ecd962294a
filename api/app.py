"""The composition root of the API: settings to services to routes. Nothing else constructs an adapter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from redis.asyncio import Redis
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route
from starlette.staticfiles import StaticFiles

from api import (
    adjustments,
    api_keys,
    audit,
    balances,
    deposits,
    disputes,
    escrow,
    events,
    instance,
    maintenance,
    milestones,
    operations,
    orders,
    problems,
    reconciliation,
    resolution,
    statements,
    timeline,
    users,
    wallets,
    webhooks,
    withdrawals,
)
from api.answers import API_PREFIX, Answer
from api.auth import KEYS_CHANGED, Keyring
from api.call import Services
from api.drain import Drain
from api.health import HealthReport
from api.metrics import RequestTimes, get_metrics, request_times
from api.middleware import RequestFrame
from api.openapi import DESCRIPTION, complete
from api.rate_limit import RateLimits
from api.routing import ScopedRoute
from offerhub.reconciliation.on_demand import WalletComparison
from offerhub.settings import Settings
from offerhub.stellar.destinations import Destinations
from offerhub.storage.unit_of_work import Database
from offerhub.stream.hub import Hub
from offerhub.stream.nudges import Nudges
from offerhub.stream.stopping import told_to_stop
from offerhub.stream.webhook_secrets import WebhookKeyError, WebhookSecrets
from offerhub.telemetry.logs import get_logger

# Routes are tried in this order: the most asked for come first.
_RESOURCES = (
    orders,
    users,
    balances,
    escrow,
    resolution,
    milestones,
    operations,
    instance,
    api_keys,
    statements,
    wallets,
    timeline,
    disputes,
    deposits,
    withdrawals,
    webhooks,
    reconciliation,
    maintenance,
    adjustments,
    audit,
    events,
)
# Swagger UI's own files, served from here: the page works where there is no internet.
DOCS_FILES = "/docs-files"
_KEY_USE_EVERY_S = 5.0
_log = get_logger(__name__)


def create_services(settings: Settings) -> Services:
    redis = Redis.from_url(settings.redis_url)
    nudges = Nudges(redis, [KEYS_CHANGED])
    database = Database(settings.database_url, nudges.publish)
    keyring = Keyring(database, settings.offerhub_master_key, live=settings.stellar_network == "mainnet")
    comparison = WalletComparison(settings, database)
    return Services(
        settings=settings,
        database=database,
        redis=redis,
        nudges=nudges,
        hub=Hub(database, redis),
        keyring=keyring,
        rate_limits=RateLimits(settings),
        destinations=Destinations(settings),
        wallet_comparison=comparison,
        webhook_secrets=_webhook_secrets(settings),
        drain=Drain(database),
    )


def _webhook_secrets(settings: Settings) -> WebhookSecrets:
    try:
        return WebhookSecrets(settings.webhook_encryption_key)
    except WebhookKeyError as error:
        sys.exit(f"configuration: {error}")


def create_app(services: Services) -> FastAPI:
    app = _with_routes()
    app.state.services = services
    app.state.health = HealthReport(services)
    return app


def openapi_document() -> dict[str, Any]:
    """The same for every installation."""
    return _with_routes().openapi()


def _with_routes() -> FastAPI:
    app = FastAPI(
        title="OFFER-HUB Orchestrator",
        version=instance.VERSION,
        description=DESCRIPTION,
        lifespan=_lifespan,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.router.route_class = ScopedRoute
    app.state.request_times = request_times()
    app.add_middleware(RequestFrame)
    app.add_middleware(RequestTimes, times=app.state.request_times)
    app.add_exception_handler(HTTPException, _refused_by_framework)
    for resource in _RESOURCES:
        resource.routes.add_to(app)
    _add_documents(app)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    services: Services = app.state.services
    services.hub.start()
    beside = [
        asyncio.create_task(_note_key_use(services.keyring), name="key use"),
        asyncio.create_task(services.keyring.follow(services.nudges), name="keys changed"),
    ]
    yield
    for task in beside:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    await services.hub.stop()
    with suppress(Exception):
        await services.keyring.note_use()
    await services.destinations.close()
    await services.wallet_comparison.close()
    await services.nudges.close()
    await services.rate_limits.close()
    await services.redis.aclose()
    await services.database.close()


async def _note_key_use(keyring: Keyring) -> None:
    while not told_to_stop():
        await asyncio.sleep(_KEY_USE_EVERY_S)
        try:
            await keyring.note_use()
        except Exception as error:  # noqa: BLE001 a missed time stamp is not worth more than a line
            _log.warning("keys.use_not_noted", error=repr(error))


async def _refused_by_framework(request: Request, error: Exception) -> Response:
    """404, 405: in the same envelope as everything else."""
    assert isinstance(error, HTTPException), "registered for nothing else"
    detail = {404: f"There is nothing at {request.url.path[:200]}.", 405: f"{request.method} is not possible here."}
    refusal = problems.of_status(error.status_code, detail.get(error.status_code, str(error.detail)))
    answer = Answer(problems.status_of(refusal.code), problems.envelope(refusal, request.scope["request_id"])).response()
    answer.headers.update(error.headers or {})
    if error.status_code == 405 and (methods := _methods_at(request)):
        answer.headers["Allow"] = ", ".join(methods)
    return answer


def _methods_at(request: Request) -> list[str]:
    """Starlette names those of the first route that has the path; there is one route for each method."""
    routes = [route for route in request.app.routes if isinstance(route, Route) and route.matches(request.scope)[0] is Match.PARTIAL]
    return sorted({method for route in routes for method in route.methods or ()})


def _add_documents(app: FastAPI) -> None:
    """Public, outside the API's own routes, and reachable below its prefix too."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = complete(made)
        return app.openapi_schema

    async def openapi(_request: Request) -> Response:
        return Answer(200, document()).response()

    async def docs(request: Request) -> Response:
        here = request.url.path.removesuffix("/docs")
        return get_swagger_ui_html(
            openapi_url=f"{here}/openapi.json",
            title=app.title,
            swagger_js_url=f"{DOCS_FILES}/swagger-ui-bundle.js",
            swagger_css_url=f"{DOCS_FILES}/swagger-ui.css",
            swagger_favicon_url=f"{DOCS_FILES}/favicon.png",
        )

    async def error_codes(_request: Request) -> Response:
        return HTMLResponse(problems.page())

    app.mount(DOCS_FILES, StaticFiles(packages=[("fastapi_offline", "static")]))
    app.openapi = document  # type: ignore[method-assign]
    for prefix in ("", API_PREFIX):
        app.add_route(f"{prefix}/openapi.json", openapi, include_in_schema=False)
        app.add_route(f"{prefix}/docs", docs, include_in_schema=False)
        app.add_route(f"{prefix}{problems.DOCS_PATH}", error_codes, include_in_schema=False)
        app.add_route(f"{prefix}/metrics", get_metrics, include_in_schema=False)
