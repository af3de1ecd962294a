"""Every route of the application against every kind of caller; what is expected follows from the route's declaration."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from sqlalchemy import text

from api.app import create_app, create_services
from api.auth import Caller, Scope, Tokens
from api.openapi import Documented
from api.routing import Gate, Routes, ScopedRoute
from api.schemas.instance import Health
from offerhub.domain.errors import DomainError
from tests.integration.api.conftest import MASTER, Api, settings

SCOPES = ("read", "write", "support", "admin", "*")
GRANTS = {
    Scope.PUBLIC: set(SCOPES),
    Scope.ANY: set(SCOPES),
    Scope.READ: {"read", "support", "admin", "*"},
    Scope.WRITE: {"write", "admin", "*"},
    Scope.SUPPORT: {"support", "admin", "*"},
    Scope.TAKE_PART: {"write", "support", "admin", "*"},
    Scope.ADMIN: {"admin", "*"},
}
APP = create_app(create_services(settings("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1")))
ROUTES = [route for route in APP.routes if isinstance(route, APIRoute)]
REFUSALS = {"UNAUTHORIZED", "INVALID_API_KEY", "INSUFFICIENT_SCOPE", "IP_NOT_ALLOWED"}


def gate_of(route: APIRoute) -> Gate:
    assert isinstance(route, ScopedRoute), route.path
    return route.gate


@dataclass(frozen=True)
class Visitor:
    """One way to call, and what a gate should answer it: a refusal's code, or None to be let in."""

    name: str
    key: str | None
    scopes: tuple[str, ...] = ()
    refused: str | None = None
    is_token: bool = False
    user_id: str | None = None
    key_id: str = "key_none"

    def expected(self, gate: Gate) -> str | None:
        if gate.scope is Scope.PUBLIC:
            return None
        if self.refused:
            return self.refused
        allowed = any(scope in GRANTS[gate.scope] for scope in self.scopes)
        if self.is_token:
            allowed = allowed and gate.tokens is not Tokens.NONE
        if self.user_id:
            allowed = allowed and gate.tokens is Tokens.BOUND
        return None if allowed else "INSUFFICIENT_SCOPE"

    def address(self, route: APIRoute) -> str:
        """Its own key is named only where nothing happens to it."""
        known = {"{user_id}": self.user_id or "usr_none", "{key_id}": self.key_id if route.path.endswith("/token") else "key_none"}
        return "/".join(known.get(part, "none" if part.startswith("{") else part) for part in route.path.split("/"))

    def client(self, api: Api) -> httpx.AsyncClient:
        headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
        return httpx.AsyncClient(base_url=api.url.removesuffix("/api/v1"), headers=headers, timeout=30, trust_env=False)


def code_of(answer: httpx.Response) -> str:
    return str(answer.json().get("error", {}).get("code", "")) if "json" in answer.headers["content-type"] else ""


def id_of(key: str) -> str:
    return f"key_{key.split('_')[2]}"


async def token_of(api: Api, key: str, **wish: Any) -> str:
    async with api.acting(key) as holder:
        answer = await holder.post("/auth/token", json=wish)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["data"]["token"])


@asynccontextmanager
async def refused_visitors(api: Api) -> AsyncIterator[list[Visitor]]:
    key, revoked = await api.key("*"), await api.key("*")
    expired, outside = await api.key("*", expiresAt="2099-01-01T00:00:00Z"), await api.key("*", allowedIps=["10.0.0.0/8"])
    expired_token = await token_of(api, key)
    async with api.market.command() as transaction:
        await transaction.run(text("UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL"))
        await transaction.run(text("UPDATE api_tokens SET expires_at = now()"))
    orphan = await token_of(api, revoked)
    async with api.acting(MASTER) as master:
        assert (await master.delete(f"/auth/api-keys/{id_of(revoked)}")).status_code == 200
    wrong = {
        "a wrong key": f"ohk_test_{'0' * 26}_{'a' * 64}",
        "a wrong secret": key[:-1] + ("0" if key[-1] != "0" else "1"),
        "the wrong network": key.replace("ohk_test_", "ohk_live_"),
        "a wrong token": f"ohk_tok_{'0' * 26}_{'a' * 64}",
        "nonsense": "nonsense",
        "nearly the master key": MASTER + "x",
        "an expired key": expired,
        "a revoked key": revoked,
        "an expired token": expired_token,
        "a token of a revoked key": orphan,
    }
    visitors = [Visitor(name, presented, refused="INVALID_API_KEY") for name, presented in wrong.items()]
    yield [
        Visitor("nobody", None, refused="UNAUTHORIZED"),
        Visitor("a key outside its networks", outside, refused="IP_NOT_ALLOWED"),
        *visitors,
    ]


async def check(api: Api, visitor: Visitor) -> None:
    async with visitor.client(api) as client:
        for route in ROUTES:
            answer = await client.request(next(iter(route.methods or ())), visitor.address(route))
            judge(answer, visitor.expected(gate_of(route)), f"{visitor.name}: {route.methods} {route.path}: {answer.text[:500]}")


def judge(answer: httpx.Response, expected: str | None, place: str) -> None:
    assert answer.status_code != 500, place
    if expected is None:
        assert code_of(answer) not in REFUSALS, place
        return
    assert code_of(answer) == expected, place
    assert answer.status_code == (401 if expected in {"UNAUTHORIZED", "INVALID_API_KEY"} else 403), place
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"] == "Bearer"
    if expected == "INSUFFICIENT_SCOPE":
        assert {"requiredScope", "currentScopes"} <= answer.json()["error"]["details"].keys(), place


def test_a_route_without_a_scope_does_not_import() -> None:
    with pytest.raises(TypeError):
        Routes("Broken").get("/broken", documented=Documented("Broken", Health))  # type: ignore[call-arg]


def test_only_these_are_public() -> None:
    assert len(ROUTES) > 20
    public = {route.path.removeprefix("/api/v1") for route in ROUTES if gate_of(route).scope is Scope.PUBLIC}
    assert public == {"/health", "/health/detailed", "/config"}
    others = {getattr(route, "path", "") for route in APP.routes if not isinstance(route, APIRoute)}
    # `/metrics` is for networks, not for keys.
    documents = ("/docs", "/docs/errors", "/openapi.json", "/metrics")
    assert others - {"/metrics"} == {"/docs-files", *(prefix + path for prefix in ("", "/api/v1") for path in documents)} - {"/metrics"}


async def test_whoever_has_no_valid_key_gets_nowhere(api: Api) -> None:
    async with refused_visitors(api) as visitors:
        for visitor in visitors:
            await check(api, visitor)


@pytest.mark.parametrize("scope", SCOPES)
async def test_each_scope_opens_exactly_its_routes(api: Api, scope: str) -> None:
    key = await api.key(scope)
    await check(api, Visitor(f"a key for {scope}", key, (scope,), key_id=id_of(key)))


@pytest.mark.parametrize("scope", SCOPES)
async def test_a_token_opens_what_its_scopes_open_except_making_keys(api: Api, scope: str) -> None:
    key = await api.key("*")
    token = await token_of(api, key, scopes=[scope])
    await check(api, Visitor(f"a token for {scope}", token, (scope,), is_token=True, key_id=id_of(key)))


async def test_a_token_bound_to_a_user_opens_what_is_his(api: Api) -> None:
    user_id, others_id = (await api.market.user()).id, (await api.market.user()).id
    token = await token_of(api, await api.key("*"), userId=user_id)
    await check(api, Visitor("a bound token", token, ("read",), is_token=True, user_id=user_id))
    async with api.acting(token) as client:
        for path in (f"/users/{others_id}/balance", f"/balances/{others_id}", f"/users/{others_id}/wallet", "/balances/usr_none"):
            answer = await client.get(path)
            assert (answer.status_code, code_of(answer)) == (403, "INSUFFICIENT_SCOPE"), path
        assert (await client.get(f"/balances/{user_id}")).status_code == 200


@pytest.mark.parametrize("scope", [scope for scope in GRANTS if scope is not Scope.PUBLIC])
def test_the_rule_of_scopes(scope: Scope) -> None:
    for held in SCOPES:
        try:
            Caller("key_x", (held,)).require(scope)
            granted = True
        except DomainError:
            granted = False
        assert granted == (held in GRANTS[scope]), (scope, held)


async def test_public_routes_need_no_key(api: Api) -> None:
    async with api.acting(None) as nobody:
        assert (await nobody.get("/health")).json() == {"success": True, "data": {"status": "ok"}}
        config = (await nobody.get("/config")).json()["data"]
        assert config["asset"] == {"code": "USDC", "issuer": "GISSUER"}
        assert "tw-key" not in str(config)
