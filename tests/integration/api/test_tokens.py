"""Short-lived tokens: less than their key, ending before it, bound to a user if wanted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import orjson
import pytest
from sqlalchemy import text

from activities.housekeeping import keep_house_once
from api import auth
from tests.integration.api.conftest import MASTER, Api
from tests.integration.api.test_access import code_of, id_of, token_of
from tests.integration.api.test_orders import UNIT, created, parties, wish

pytestmark = pytest.mark.slow


async def make(api: Api, key: str, **body: Any) -> httpx.Response:
    async with api.acting(key) as client:
        return await client.post("/auth/token", json=body)


def left_s(answer: httpx.Response) -> float:
    until: str = answer.json()["data"]["expiresAt"]
    return (datetime.fromisoformat(until) - datetime.now(UTC)).total_seconds()


async def test_a_token_is_its_key_for_a_while(api: Api) -> None:
    key = await api.key("read", "write")
    made = await make(api, key)
    shown = await created(made)
    assert (shown["keyId"], shown["scopes"], shown["userId"]) == (id_of(key), ["read", "write"], None)
    assert 890 < left_s(made) <= 900
    assert made.headers["location"] == "/api/v1/auth/me"
    async with api.acting(shown["token"]) as client:
        me = (await client.get("/me")).json()["data"]
        assert (me["id"], me["tokenId"], me["scopes"], me["expiresAt"]) == (id_of(key), shown["id"], ["read", "write"], shown["expiresAt"])
        user = await created(await client.post("/users", json={"externalUserId": "by-token"}))
        for path in ("/auth/token", f"/auth/api-keys/{id_of(key)}/token"):
            assert (await client.post(path)).status_code == 403
    async with api.services.database.reading() as reader:
        row = await reader.first(text("SELECT actor_id FROM audit_log WHERE resource_id = :id"), id=user["id"])
        entry = await reader.first(text("SELECT after FROM audit_log WHERE action = 'api_key.token_created'"))
    assert row is not None
    assert row["actor_id"] == id_of(key)
    assert entry is not None
    assert (entry["after"]["tokenId"], entry["after"]["expiresAt"]) == (shown["id"], shown["expiresAt"])


@pytest.mark.parametrize(
    ("held", "asked", "code"),
    [
        (["write"], ["write"], ""),
        (["write"], ["read"], "INSUFFICIENT_SCOPE"),
        (["write", "support"], ["read"], ""),
        (["write", "read"], ["admin"], "INSUFFICIENT_SCOPE"),
        (["write", "read"], ["*"], "INSUFFICIENT_SCOPE"),
        (["admin"], ["read", "write", "support"], ""),
        (["*"], ["*"], ""),
        (["read"], ["read"], "INSUFFICIENT_SCOPE"),
        (["write"], ["root"], "VALIDATION_ERROR"),
        (["write"], [], "VALIDATION_ERROR"),
    ],
)
async def test_scopes_are_a_part_of_the_keys(api: Api, held: list[str], asked: list[str], code: str) -> None:
    answer = await make(api, await api.key(*held), scopes=asked)
    assert code_of(answer) == code, answer.text
    if not code:
        assert answer.json()["data"]["scopes"] == asked


@pytest.mark.parametrize("ttl", [0, -1, 86_401, 1.5, "soon"])
async def test_how_long_a_token_may_live(api: Api, ttl: object) -> None:
    key = await api.key("*")
    assert code_of(await make(api, key, ttlSeconds=ttl)) == "VALIDATION_ERROR"
    assert 86_390 < left_s(await make(api, key, ttlSeconds=86_400)) <= 86_400


async def test_it_outlives_neither_its_key_nor_the_secret_it_was_made_with(api: Api) -> None:
    short = await api.key("*", expiresAt=(datetime.now(UTC) + timedelta(seconds=60)).isoformat())
    assert 50 < left_s(await make(api, short)) <= 60
    key = await api.key("*")
    before = await token_of(api, key, ttlSeconds=3600)
    async with api.acting(MASTER) as master:
        rotated = await master.post(f"/auth/api-keys/{id_of(key)}/rotate", json={"overlapSeconds": 60})
        new = rotated.json()["data"]["apiKey"]
        assert 50 < left_s(await make(api, key)) <= 60, "made with the old secret"
        assert 890 < left_s(await make(api, new)) <= 900
        for overlap in (0, 3600):
            await master.post(f"/auth/api-keys/{id_of(key)}/rotate", json={"overlapSeconds": overlap})
            # The second of these two has an overlap, but not for what ended before it.
            for ended in (before, key, new):
                assert (await make(api, ended)).status_code == 401


async def test_a_thousand_tokens_of_a_key_cost_one_look_while_it_is_fresh(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each holds a stream that looks every second whether it may go on; a look is good for as long."""
    monkeypatch.setattr(auth, "_FRESH_S", 3600.0)
    key = await api.key("*")
    callers = []
    for _ in range(20):
        token = await token_of(api, key)
        callers.append(await api.services.keyring.recognise({"x-api-key": token}, "127.0.0.1"))
    looks, read = 0, api.services.database.reading

    def counted() -> Any:
        nonlocal looks
        looks += 1
        return read()

    api.services.database.reading = counted  # type: ignore[method-assign]
    api.services.keyring.read_again()
    for _ in range(50):
        assert all([await api.services.keyring.still_valid(caller) for caller in callers])
    assert 1 <= looks <= 3


async def test_one_made_of_another_key_is_for_admins(api: Api) -> None:
    theirs, mine = await api.key("read"), await api.key("write")
    async with api.acting(mine) as client:
        assert (await client.post(f"/auth/api-keys/{id_of(theirs)}/token")).status_code == 403
        assert (await client.post(f"/auth/api-keys/{id_of(mine)}/token")).status_code == 201
    async with api.acting(MASTER) as master:
        made = await created(await master.post(f"/auth/api-keys/{id_of(theirs)}/token"))
        assert (made["keyId"], made["scopes"]) == (id_of(theirs), ["read"])
        assert (await master.post(f"/auth/api-keys/{id_of(theirs)}/token", json={"scopes": ["write"]})).status_code == 403
        assert code_of(await master.post("/auth/api-keys/key_none/token")) == "API_KEY_NOT_FOUND"
        assert code_of(await master.post("/auth/token")) == "INSUFFICIENT_SCOPE", "the master key has none"
        await master.delete(f"/auth/api-keys/{id_of(theirs)}")
        assert code_of(await master.post(f"/auth/api-keys/{id_of(theirs)}/token")) == "INVALID_STATE"


async def test_one_bound_to_a_user_only_reads(api: Api) -> None:
    buyer, _ = await parties(api)
    key = await api.key("read", "write")
    assert (await make(api, key, userId=buyer)).json()["data"]["scopes"] == ["read"]
    for scopes in (["write"], ["read", "write"]):
        assert code_of(await make(api, key, userId=buyer, scopes=scopes)) == "VALIDATION_ERROR"
    assert code_of(await make(api, key, userId="usr_none")) == "USER_NOT_FOUND"
    assert code_of(await make(api, await api.key("write"), userId=buyer)) == "INSUFFICIENT_SCOPE"


async def test_it_keeps_the_keys_networks(api: Api) -> None:
    key = await api.key("*", allowedIps=["127.0.0.1"])
    token = await token_of(api, key)
    async with api.market.command() as transaction:
        await transaction.run(text("UPDATE api_keys SET allowed_ips = '{10.0.0.0/8}'"))
    api.services.keyring.read_again()
    async with api.acting(token) as client:
        assert code_of(await client.get("/me")) == "IP_NOT_ALLOWED"


@pytest.mark.usefixtures("relay")
async def test_the_stream_of_a_bound_token_has_the_users_events_and_no_others(api: Api) -> None:
    mine, other = await api.market.user(100 * UNIT), await api.market.user(100 * UNIT)
    seller = await api.market.user()
    await api.services.hub.ready.wait()
    token = await token_of(api, await api.key("*"), userId=mine.id)
    async with api.acting(token) as client:
        assert (await client.get("/events", params={"userId": other.id})).status_code == 403
        async with client.stream("GET", "/events") as stream:
            lines = stream.aiter_lines()
            assert await anext(lines) == ": still here"
            theirs = await created(await api.client.post("/orders", json=wish(other.id, seller.id)))
            ours = await created(await api.client.post("/orders", json=wish(mine.id, seller.id)))
            assert (await api.client.post(f"/orders/{theirs['id']}/reserve")).status_code == 200
            assert (await api.client.post(f"/orders/{ours['id']}/reserve")).status_code == 200
            seen = []
            async with asyncio.timeout(60):
                async for line in lines:
                    if line.startswith("data: "):
                        seen.append(orjson.loads(line[6:]))
                    if seen and seen[-1]["eventType"] == "order.funds_reserved":
                        break
        assert {"order.created", "balance.reserved", "order.funds_reserved"} == {event["eventType"] for event in seen}
        assert theirs["id"] not in str(seen)
        assert other.id not in str(seen)
        page = (await client.get("/events", params={"limit": 100}, headers={"Accept": "application/json"})).json()["data"]
        assert {event["eventType"] for event in page} > {"user.created", "order.created"}
        assert other.id not in str(page)


async def test_expired_tokens_are_forgotten(api: Api) -> None:
    key = await api.key("*")
    await token_of(api, key, ttlSeconds=1)
    kept = await created(await make(api, key))
    await asyncio.sleep(1.0)
    await keep_house_once(api.services.database, timedelta(minutes=10))
    async with api.services.database.reading() as reader:
        assert [row["id"] for row in await reader.rows(text("SELECT id FROM api_tokens"))] == [kept["id"]]
