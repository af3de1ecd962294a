"""The one way to declare a route: with its scope, or not at all. Authentication comes before the body is looked at."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from api import problems, strict_json
from api.answers import API_PREFIX
from api.auth import ANONYMOUS, Scope
from api.call import Services, describe
from api.openapi import Documented, responses
from offerhub.domain.errors import ErrorCode
from offerhub.telemetry import logs

SCOPE_KEY = "x-required-scope"
MONEY_KEY = "x-moves-money"
Endpoint = Callable[..., Coroutine[Any, Any, Response]]
Handler = TypeVar("Handler", bound=Endpoint)


@dataclass(frozen=True)
class Declared:
    method: str
    path: str
    scope: Scope
    documented: Documented
    endpoint: Endpoint
    moves_money: bool


@dataclass(frozen=True)
class Routes:
    """The routes of one resource, gathered at import and added to the application by ``api/app.py``."""

    tag: str
    declared: list[Declared] = field(default_factory=list)

    def get(self, path: str, scope: Scope, documented: Documented) -> Callable[[Handler], Handler]:
        return self._declare("GET", path, scope, documented)

    def post(self, path: str, scope: Scope, documented: Documented, *, moves_money: bool = False) -> Callable[[Handler], Handler]:
        """``moves_money``: it begins a movement of money, which is refused with ``MAINTENANCE`` while the instance is drained."""
        if moves_money:
            documented = replace(documented, errors=(*documented.errors, ErrorCode.MAINTENANCE))
        return self._declare("POST", path, scope, documented, moves_money=moves_money)

    def patch(self, path: str, scope: Scope, documented: Documented) -> Callable[[Handler], Handler]:
        return self._declare("PATCH", path, scope, documented)

    def delete(self, path: str, scope: Scope, documented: Documented) -> Callable[[Handler], Handler]:
        return self._declare("DELETE", path, scope, documented)

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
                description=route.endpoint.__doc__,
                status_code=route.documented.status,
                response_model=None,
                responses=responses(route.documented, route.method, public=route.scope is Scope.PUBLIC),
                openapi_extra=_extra(route),
            )

    def _declare(
        self, method: str, path: str, scope: Scope, documented: Documented, *, moves_money: bool = False
    ) -> Callable[[Handler], Handler]:
        def remember(endpoint: Handler) -> Handler:
            self.declared.append(Declared(method, path, Scope(scope), documented, endpoint, moves_money))
            return endpoint

        return remember


class ScopedRoute(APIRoute):
    """Authenticates, checks the declared scope, reads the body strictly, and only then lets FastAPI parse and call the handler."""

    def __init__(self, *arguments: Any, openapi_extra: dict[str, Any] | None = None, **options: Any) -> None:  # noqa: ANN401 FastAPI's own
        if SCOPE_KEY not in (openapi_extra or {}):
            raise TypeError("a route must declare its scope")
        self._scope = Scope((openapi_extra or {})[SCOPE_KEY])
        self._moves_money = bool((openapi_extra or {}).get(MONEY_KEY))
        super().__init__(*arguments, openapi_extra=openapi_extra, **options)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            await _admit(request, self._scope, moves_money=self._moves_money)
            with logs.bound(correlation_id=request.scope["request_id"]):
                try:
                    return await handle(request)
                except RequestValidationError as error:
                    raise problems.of_validation(error.errors()) from None

        return authenticated


async def _admit(request: Request, scope: Scope, *, moves_money: bool) -> None:
    strict_json.check_address(request.scope["path"], request.scope["query_string"])
    services: Services = request.app.state.services
    caller = ANONYMOUS
    if scope is not Scope.PUBLIC:
        address = request.client.host if request.client else ""
        caller = await services.keyring.recognise(request.headers, address)
        caller.require(scope)
    body = b""
    if request.method != "GET":
        body = await request.body()
        if body.strip():
            # Where Starlette keeps a parsed body: FastAPI finds it there instead of parsing again.
            request._json = strict_json.read(body, request.headers.get("content-type"))  # noqa: SLF001
    request.scope["call"] = describe(request, services, caller, body, moves_money=moves_money)


def _extra(route: Declared) -> dict[str, Any]:
    security: Sequence[dict[str, list[str]]] = () if route.scope is Scope.PUBLIC else ({"bearer": []}, {"apiKey": []})
    money = {MONEY_KEY: True} if route.moves_money else {}
    return {SCOPE_KEY: route.scope.value, "security": list(security), **money}


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
