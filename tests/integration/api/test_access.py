"""Every declared route against every kind of caller."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from api.app import _RESOURCES, create_services
from api.auth import Caller, Scope
from api.openapi import Documented
from api.routing import Declared, Routes
from api.schemas.instance import Health
from offerhub.domain.errors import DomainError
from tests.integration.api.conftest import MASTER, Api, serving, settings

DECLARED = [route for resource in _RESOURCES for route in resource.routes.declared]
CLOSED = [route for route in DECLARED if route.gate.scope is not Scope.PUBLIC]
GRANTS = {
    Scope.ANY: {"read", "write", "support", "admin", "*"},
    Scope.READ: {"read", "support", "admin", "*"},
    Scope.WRITE: {"write", "admin", "*"},
    Scope.SUPPORT: {"support", "admin", "*"},
    Scope.ADMIN: {"admin", "*"},
}


def path_of(route: Declared) -> str:
    return "/".join("none" if part.startswith("{") else part for part in route.path.split("/"))


async def asked(client: httpx.AsyncClient, route: Declared) -> httpx.Response:
    return await client.request(route.method, path_of(route), headers={"Accept": "application/json"})


def code_of(answer: httpx.Response) -> str:
    return str(answer.json().get("error", {}).get("code", ""))


def test_a_route_without_a_scope_does_not_import() -> None:
    with pytest.raises(TypeError):
        Routes("Broken").get("/broken", documented=Documented("Broken", Health))  # type: ignore[call-arg]


def test_only_health_and_config_are_public() -> None:
    public = {route.path for route in DECLARED if route.gate.scope is Scope.PUBLIC}
    assert public == {"/health", "/health/detailed", "/config"}


async def test_no_key_and_wrong_keys(api: Api) -> None:
    unknown = f"ohk_test_{'0' * 26}_{'a' * 64}"
    right = await api.key("*")
    wrong_secret = right[:-1] + ("0" if right[-1] != "0" else "1")
    wrong_kind = right.replace("ohk_test_", "ohk_live_")
    async with api.acting(None) as nobody:
        for route in CLOSED:
            answer = await asked(nobody, route)
            assert (answer.status_code, code_of(answer)) == (401, "UNAUTHORIZED"), route.path
            assert answer.headers["www-authenticate"] == "Bearer"
    for key in (unknown, wrong_secret, wrong_kind, "nonsense", MASTER + "x"):
        async with api.acting(key) as stranger:
            for route in CLOSED if key == unknown else CLOSED[:2]:
                answer = await asked(stranger, route)
                assert (answer.status_code, code_of(answer)) == (401, "INVALID_API_KEY"), (key, route.path)


@pytest.mark.parametrize("scope", ["read", "write", "support", "admin", "*"])
async def test_each_scope_opens_exactly_its_routes(api: Api, scope: str) -> None:
    async with api.acting(await api.key(scope)) as client:
        for route in CLOSED:
            answer = await asked(client, route)
            allowed = scope in GRANTS[route.gate.scope]
            assert (code_of(answer) != "INSUFFICIENT_SCOPE") == allowed, f"{route.method} {route.path}"
            if not allowed:
                details = answer.json()["error"]["details"]
                assert (answer.status_code, details) == (403, {"requiredScope": route.gate.scope.value, "currentScopes": [scope]})
            else:
                assert answer.status_code < 500, f"{route.method} {route.path}: {answer.text}"


@pytest.mark.parametrize("scope", list(GRANTS))
def test_the_rule_of_scopes(scope: Scope) -> None:
    for held in ("read", "write", "support", "admin", "*"):
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


async def test_the_key_may_come_in_either_header(api: Api) -> None:
    key = await api.key("read", expiresAt="2099-01-01T00:00:00Z")
    async with api.acting(None) as client:
        for headers in ({"x-api-key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer {key}"}):
            me = (await client.get("/me", headers=headers)).json()["data"]
            assert (me["name"], me["scopes"], me["expiresAt"]) == ("test", ["read"], "2099-01-01T00:00:00.000Z")
        assert (await client.get("/auth/me", headers={"x-api-key": MASTER})).json()["data"]["scopes"] == ["admin"]


async def test_a_revoked_key_is_refused_within_a_second_by_every_process(api: Api, postgres_url: str, redis_url: str) -> None:
    key = await api.key("read")
    key_id = f"key_{key.split('_')[2]}"
    async with (
        serving(create_services(settings(postgres_url, redis_url))) as url,
        replace(api, url=url).acting(key) as elsewhere,
        api.acting(key) as here,
    ):
        assert (await elsewhere.get("/me")).status_code == 200
        assert (await here.get("/me")).status_code == 200
        async with api.acting(MASTER) as master:
            revoked = await master.delete(f"/auth/api-keys/{key_id}")
            assert revoked.json()["data"]["revokedAt"]
            assert (await master.delete(f"/auth/api-keys/{key_id}")).status_code == 200
        assert (await here.get("/me")).status_code == 401
        await asyncio.sleep(1.05)
        assert (await elsewhere.get("/me")).status_code == 401


async def test_an_expired_key_is_refused(api: Api) -> None:
    key = await api.key("read", expiresAt=(datetime.now(UTC) + timedelta(seconds=0.4)).isoformat())
    async with api.acting(key) as client:
        assert (await client.get("/me")).status_code == 200
        await asyncio.sleep(0.5)
        assert code_of(await client.get("/me")) == "INVALID_API_KEY"


async def test_allowed_addresses(api: Api) -> None:
    async with api.acting(await api.key("read", allowedIps=["10.0.0.0/8"])) as client:
        answer = await client.get("/me")
        assert (answer.status_code, code_of(answer)) == (403, "IP_NOT_ALLOWED")
    async with api.acting(await api.key("read", allowedIps=["10.0.0.0/8", "127.0.0.0/8"])) as client:
        assert (await client.get("/me")).status_code == 200


async def test_keys_are_listed_masked_and_their_use_is_noted(api: Api) -> None:
    key = await api.key("read")
    async with api.acting(key) as client:
        await client.get("/me")
    await api.services.keyring.note_use()
    async with api.acting(MASTER) as master:
        listed = (await master.get("/auth/api-keys")).json()["data"]
    found = next(one for one in listed if one["id"] == f"key_{key.split('_')[2]}")
    assert found["lastUsedAt"]
    assert key.rpartition("_")[2] not in str(listed)


async def test_what_a_key_may_not_be(api: Api) -> None:
    async with api.acting(MASTER) as master:
        wrongs: list[dict[str, object]] = [
            {"scopes": []},
            {"scopes": ["root"]},
            {"allowedIps": ["300.1.1.1"]},
            {"expiresAt": "2001-01-01T00:00:00Z"},
        ]
        for wrong in wrongs:
            answer = await master.post("/auth/api-keys", json={"name": "k", "scopes": ["read"], **wrong})
            assert (answer.status_code, code_of(answer)) == (400, "VALIDATION_ERROR"), wrong
