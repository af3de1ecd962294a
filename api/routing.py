"""The one way to declare a route: with its scope, or not at all. Authentication comes before the body is looked at."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api import problems, strict_json
from api.answers import API_PREFIX
from api.auth import ANONYMOUS, Caller, Scope, Tokens
from api.call import NOTHING_TO_QUOTE, Services, describe
from api.openapi import Documented, responses
from api.rate_limit import Limit
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.telemetry import logs

SCOPE_KEY = "x-required-scope"
TOKENS_KEY = "x-tokens"
LIMIT_KEY = "x-rate-limit"
MONEY_KEY = "x-moves-money"
QUOTES_KEY = "x-quotes"
Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Handler = TypeVar("Handler", bound=Endpoint)


@dataclass(frozen=True)
class Gate:
    """What a request passes before its handler sees it.

    ``limit`` is None for what is never refused for being too much. ``moves_money``: it begins a movement of money, which is refused with
    ``MAINTENANCE`` while the instance is drained. ``quotes``: it answers ``?dryRun=true``, as everything does that moves money.
    """

    scope: Scope
    limit: Limit | None = Limit.KEY
    tokens: Tokens = Tokens.UNBOUND
    moves_money: bool = False
    quotes: bool = False


@dataclass(frozen=True)
class Declared:
    method: str
    path: str
    gate: Gate
    documented: Documented
    endpoint: Endpoint


@dataclass(frozen=True)
class Routes:
    """The routes of one resource, gathered at import and added to the application by ``api/app.py``."""

    tag: str
    declared: list[Declared] = field(default_factory=list)

    def get(
        self, path: str, scope: Scope, documented: Documented, *, tokens: Tokens = Tokens.UNBOUND, limited: bool = True
    ) -> Callable[[Handler], Handler]:
        streams = "text/event-stream" in documented.media
        limit = Limit.ADDRESS if scope is Scope.PUBLIC else Limit.STREAMS if streams else Limit.KEY
        return self._declare("GET", path, Gate(scope, limit if limited else None, tokens), documented)

    def post(
        self, path: str, scope: Scope, documented: Documented, *, tokens: Tokens = Tokens.UNBOUND, moves_money: bool = False
    ) -> Callable[[Handler], Handler]:
        if moves_money:
            documented = replace(documented, errors=(*documented.errors, ErrorCode.MAINTENANCE), quotes=True)
        return self._declare("POST", path, Gate(scope, tokens=tokens, moves_money=moves_money, quotes=documented.quotes), documented)

    def patch(self, path: str, scope: Scope, documented: Documented) -> Callable[[Handler], Handler]:
        return self._declare("PATCH", path, Gate(scope), documented)

    def delete(self, path: str, scope: Scope, documented: Documented, *, tokens: Tokens = Tokens.UNBOUND) -> Callable[[Handler], Handler]:
        return self._declare("DELETE", path, Gate(scope, tokens=tokens), documented)

    def add_to(self, app: FastAPI) -> None:
        for route in self.declared:
            app.router.add_api_route(
                API_PREFIX + route.path,
                route.endpoint,
                methods=[route.method],
                name=route.endpoint.__name__,
                operation_id=_camel(route.endpoint.__name__),
                tags=[self.tag],
                summary=route.documented.summary,
                description=inspect.getdoc(route.endpoint),
                status_code=route.documented.status,
                response_model=None,
                responses=responses(
                    route.documented, route.method, public=route.gate.scope is Scope.PUBLIC, limited=route.gate.limit is not None
                ),
                openapi_extra={**_extra(route.gate), "parameters": list(route.documented.parameters)},
            )

    def _declare(self, method: str, path: str, gate: Gate, documented: Documented) -> Callable[[Handler], Handler]:
        def remember(endpoint: Handler) -> Handler:
            self.declared.append(Declared(method, path, gate, documented, endpoint))
            return endpoint

        return remember


class ScopedRoute(APIRoute):
    """Authenticates, counts, checks the declared scope, reads the body strictly, and only then lets FastAPI parse and call the handler."""

    def __init__(self, *arguments: Any, openapi_extra: dict[str, Any] | None = None, **options: Any) -> None:  # noqa: ANN401 FastAPI's own
        if SCOPE_KEY not in (openapi_extra or {}):
            raise TypeError("a route must declare its scope")
        self.gate = _gate(openapi_extra or {})
        super().__init__(*arguments, openapi_extra=openapi_extra, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            await _admit(request, self.gate)
            with logs.bound(correlation_id=request.scope["request_id"]):
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    raise problems.of_validation(error.errors()) from None

        return authenticated


async def _admit(request: Request, gate: Gate) -> None:
    strict_json.check_address(request.scope["path"], request.scope["query_string"])
    services: Services = request.app.state.services
    caller = await _caller(request, services, gate)
    body = b""
    if request.method != "GET":
        body = await request.body()
        if body.strip():
            # Where Starlette keeps a parsed body: FastAPI finds it there instead of parsing again.
            request._json = strict_json.read(body, request.headers.get("content-type"))  # noqa: SLF001
    call = describe(request, services, caller, body, moves_money=gate.moves_money)
    if call.dry_run and not gate.quotes:
        raise problems.invalid([("dryRun", NOTHING_TO_QUOTE)])
    request.scope["call"] = call


async def _caller(request: Request, services: Services, gate: Gate) -> Caller:
    """Who it is, counted, and allowed here. What has no valid key counts for its address; over that address's limit, only keys that are
    known already are looked up, so that somebody's wrong keys do not lock out the right ones beside him.
    """
    limits, address = services.rate_limits, request.client.host if request.client else ""
    if gate.scope is Scope.PUBLIC:
        if gate.limit is not None:
            await limits.check(gate.limit, address)
        return ANONYMOUS
    try:
        strangers = not limits.exhausted(Limit.ADDRESS, address)
        caller = await services.keyring.recognise(request.headers, address, strangers=strangers)
    except DomainError:
        await limits.check(Limit.ADDRESS, address)
        raise
    await _count(request, services, gate, caller)
    caller.require(gate.scope, gate.tokens)
    if "user_id" in request.path_params:
        caller.require_user(request.path_params["user_id"])
    return caller


async def _count(request: Request, services: Services, gate: Gate, caller: Caller) -> None:
    if gate.limit is None:
        return
    as_list = gate.limit is Limit.STREAMS and "application/json" in request.headers.get("accept", "")
    quota = await services.rate_limits.take(Limit.KEY if as_list else gate.limit, caller.counted_as)
    if quota is not None:
        # Every answer from here on shows it, refusals included: the request's frame adds the headers.
        request.scope["quota"] = quota
        quota.check()


def _extra(gate: Gate) -> dict[str, Any]:
    """The gate as the document shows it, and as ``_gate`` reads it back."""
    security: Sequence[dict[str, list[str]]] = () if gate.scope is Scope.PUBLIC else ({"bearer": []}, {"apiKey": []})
    limit = gate.limit.value if gate.limit else None
    shown = {
        SCOPE_KEY: gate.scope.value,
        LIMIT_KEY: limit,
        TOKENS_KEY: gate.tokens.value,
        MONEY_KEY: gate.moves_money,
        QUOTES_KEY: gate.quotes,
    }
    return {**shown, "security": list(security)}


def _gate(extra: dict[str, Any]) -> Gate:
    limit = Limit(extra[LIMIT_KEY]) if extra[LIMIT_KEY] else None
    return Gate(Scope(extra[SCOPE_KEY]), limit, Tokens(extra[TOKENS_KEY]), extra[MONEY_KEY], extra[QUOTES_KEY])


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
