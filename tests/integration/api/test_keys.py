"""Keys over their life: shown once, used from where they may be, rotated, revoked, remembered for a moment."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from api import auth
from api.app import create_services
from tests.integration.api.conftest import MASTER, Api, opened, serving, settings
from tests.integration.api.test_access import code_of, id_of, token_of

NOWHERE = "redis://127.0.0.1:1"


async def status(api: Api, key: str, url: str | None = None) -> int:
    async with replace(api, url=url or api.url).acting(key) as client:
        return (await client.get("/me")).status_code


async def rotated(api: Api, key: str, overlap_seconds: float) -> str:
    async with api.acting(MASTER) as master:
        answer = await master.post(f"/auth/api-keys/{id_of(key)}/rotate", json={"overlapSeconds": overlap_seconds})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["data"]["apiKey"])


async def listed(api: Api, key: str) -> dict[str, Any]:
    async with api.acting(MASTER) as master:
        found = (await master.get("/auth/api-keys", params={"limit": 100})).json()["data"]
    assert key.rpartition("_")[2] not in str(found)
    shown: dict[str, Any] = next(one for one in found if one["id"] == id_of(key))
    return shown


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 it happens in another process
            await asyncio.sleep(0.01)


async def test_the_key_may_come_in_either_header(api: Api) -> None:
    key = await api.key("read", expiresAt="2099-01-01T00:00:00Z")
    async with api.acting(None) as client:
        for headers in ({"x-api-key": key}, {"Authorization": f"Bearer {key}"}, {"Authorization": f"bearer {key}"}):
            me = (await client.get("/me", headers=headers)).json()["data"]
            assert (me["name"], me["scopes"], me["expiresAt"]) == ("test", ["read"], "2099-01-01T00:00:00.000Z")
            assert (me["id"], me["userId"], me["tokenId"], me["marketplaceId"]) == (id_of(key), None, None, "default")
        assert (await client.get("/auth/me", headers={"x-api-key": MASTER})).json()["data"]["scopes"] == ["admin"]


@pytest.mark.parametrize("redis", ["there", "away"])
async def test_a_revoked_key_is_refused_within_a_second_by_every_process(postgres_url: str, redis_url: str, redis: str) -> None:
    address = redis_url if redis == "there" else NOWHERE
    async with opened(postgres_url, address) as api, serving(create_services(settings(postgres_url, address))) as elsewhere:
        key = await api.key("read")
        assert await status(api, key) == await status(api, key, elsewhere) == 200
        async with api.acting(MASTER) as master:
            revoked = await master.delete(f"/auth/api-keys/{id_of(key)}")
            assert revoked.json()["data"]["revokedAt"]
            assert (await master.delete(f"/auth/api-keys/{id_of(key)}")).status_code == 200
        assert await status(api, key) == 401
        await asyncio.sleep(1.0)
        assert await status(api, key, elsewhere) == 401


async def test_with_redis_a_revocation_is_known_elsewhere_before_its_row_is_old(
    api: Api, postgres_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auth, "_FRESH_S", 3600.0)
    async with serving(create_services(settings(postgres_url, redis_url))) as elsewhere:
        key = await api.key("read")
        assert await status(api, key, elsewhere) == 200
        async with api.acting(MASTER) as master:
            await master.delete(f"/auth/api-keys/{id_of(key)}")

        async def is_refused() -> bool:
            return await status(api, key, elsewhere) == 401

        await eventually(is_refused, 60)


async def test_a_known_key_costs_no_query(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_FRESH_S", 3600.0)
    key = await api.key("read")
    assert await status(api, key) == 200
    looked = 0
    read = api.services.database.reading

    def counted() -> Any:
        nonlocal looked
        looked += 1
        return read()

    api.services.database.reading = counted  # type: ignore[method-assign]
    for _ in range(20):
        assert await status(api, key) == 200
    # Each nudge that told of the making of a key may have come late.
    assert looked <= 3


async def test_memory_is_bounded_and_wrong_keys_take_none_of_it(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_REMEMBERED", 3)
    seen = api.services.keyring._keys
    keys = [await api.key("read") for _ in range(5)]
    for key in keys:
        assert await status(api, key) == 200
    assert list(seen) == [id_of(key) for key in keys[-3:]]
    for number in range(10):
        assert await status(api, f"ohk_test_{number:026d}_{'a' * 64}") == 401
        assert await status(api, f"ohk_tok_{number:026d}_{'a' * 64}") == 401
    assert list(seen) == [id_of(key) for key in keys[-3:]]
    assert api.services.keyring._tokens == {}


async def test_rotation_with_an_overlap(api: Api) -> None:
    first = await api.key("read", "write")
    second = await rotated(api, first, 3600)
    assert id_of(first) == id_of(second)
    assert await status(api, first) == await status(api, second) == 200
    shown = await listed(api, second)
    left = datetime.fromisoformat(shown["previousValidUntil"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < left < timedelta(minutes=61)
    third = await rotated(api, second, 3600)
    assert [await status(api, key) for key in (first, second, third)] == [401, 200, 200], "one overlap at a time"
    async with api.market.command() as transaction:
        await transaction.run(text("UPDATE api_keys SET previous_valid_until = now() WHERE previous_valid_until IS NOT NULL"))
    api.services.keyring.read_again()
    assert [await status(api, key) for key in (second, third)] == [401, 200]


async def test_rotation_without_overlap_and_after_the_end(api: Api) -> None:
    key = await api.key("read")
    assert await status(api, key) == 200
    fresh = await rotated(api, key, 0)
    assert [await status(api, one) for one in (key, fresh)] == [401, 200]
    async with api.acting(MASTER) as master:
        path = f"/auth/api-keys/{id_of(key)}"
        for wrong in ({}, {"overlapSeconds": -1}, {"overlapSeconds": 604_801}, {"overlapSeconds": "soon"}, None):
            assert code_of(await master.post(f"{path}/rotate", json=wrong)) == "VALIDATION_ERROR"
        assert code_of(await master.post("/auth/api-keys/key_none/rotate", json={"overlapSeconds": 0})) == "API_KEY_NOT_FOUND"
        await master.delete(path)
        refused = await master.post(f"{path}/rotate", json={"overlapSeconds": 0})
        assert (refused.status_code, code_of(refused)) == (409, "INVALID_STATE")
        assert refused.json()["error"]["details"] == {"currentState": "REVOKED", "allowedStates": ["ACTIVE"]}


@pytest.mark.parametrize("path", ["/auth/api-keys", "/auth/api-keys/{id}/rotate", "/auth/api-keys/{id}/token", "/auth/token"])
async def test_a_replay_does_not_show_the_secret_again_and_nothing_keeps_it(api: Api, path: str) -> None:
    key = await api.key("*")
    bodies: dict[str, dict[str, Any]] = {
        "/auth/api-keys": {"name": "k", "scopes": ["read"]},
        "/auth/api-keys/{id}/rotate": {"overlapSeconds": 60},
    }
    async with api.acting(key) as client:
        answers = [
            await client.post(path.replace("{id}", id_of(key)), json=bodies.get(path), headers={"Idempotency-Key": "once"})
            for _ in range(2)
        ]
    assert [answer.headers.get("idempotent-replayed") for answer in answers] == [None, "true"]
    name = "token" if path.endswith("token") else "apiKey"
    shown, again = (answer.json()["data"] for answer in answers)
    assert again == {**shown, name: None}
    secret = shown[name].rpartition("_")[2]
    async with api.services.database.reading() as reader:
        for table in ("api_keys", "api_tokens", "idempotency_keys", "events", "audit_log"):
            assert secret not in str(await reader.rows(text(f"SELECT to_jsonb(t) FROM {table} t")))  # noqa: S608 names of tables


async def test_allowed_addresses(api: Api) -> None:
    for networks, expected in ((["10.0.0.0/8"], 403), (["10.0.0.0/8", "127.0.0.0/8"], 200)):
        assert await status(api, await api.key("read", allowedIps=networks)) == expected, networks


async def test_addresses_behind_proxies_count_only_from_trusted_ones(postgres_url: str, redis_url: str) -> None:
    async with opened(postgres_url, redis_url) as api:
        key = await api.key("read", allowedIps=["203.0.113.0/24", "2001:db8::/32"])
        forged = {"X-Forwarded-For": "203.0.113.9"}
        async with api.acting(key) as client:
            assert (await client.get("/me", headers=forged)).status_code == 403
        trusting = create_services(settings(postgres_url, redis_url, trusted_proxies="127.0.0.1, 10.0.0.0/8"))
        async with serving(trusting) as url, replace(api, url=url).acting(key) as client:
            for forwarded, expected in {
                "203.0.113.9": 200,
                "203.0.113.9, 10.1.2.3": 200,
                "2001:db8::1": 200,
                "::ffff:203.0.113.9": 200,
                "203.0.113.9:4711": 200,
                "198.51.100.1": 403,
                # What the caller wrote himself stands to the left of what the proxies saw.
                "203.0.113.9, 198.51.100.1": 403,
                "203.0.113.9, 198.51.100.1, 10.1.2.3": 403,
                "nonsense": 403,
                "": 403,
            }.items():
                answer = await client.get("/me", headers={"X-Forwarded-For": forwarded})
                assert answer.status_code == expected, forwarded


@pytest.mark.parametrize("wrong", ["*", "proxy.example", "10.0.0.1/8", "10.0.0.0/8, nobody"])
def test_proxies_are_addresses(wrong: str) -> None:
    with pytest.raises(ValueError, match="trusted_proxies"):
        settings("postgresql://x", NOWHERE, trusted_proxies=wrong)


async def test_use_is_noted_at_most_once_a_minute_and_outside_of_requests(api: Api) -> None:
    key = await api.key("read")
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    assert await status(api, key) == 200
    assert (await listed(api, key))["lastUsedAt"] is None
    await api.services.keyring.note_use()
    noted = (await listed(api, key))["lastUsedAt"]
    assert datetime.fromisoformat(noted) >= before.replace(microsecond=0)
    assert await status(api, key) == 200
    await api.services.keyring.note_use()
    assert (await listed(api, key))["lastUsedAt"] == noted
    async with api.market.command() as transaction:
        await transaction.run(text("UPDATE api_keys SET last_used_at = now() - interval '61 s'"))
    assert await status(api, key) == 200
    await api.services.keyring.note_use()
    assert (await listed(api, key))["lastUsedAt"] >= noted


async def test_a_stream_ends_with_the_secret_it_was_opened_with(api: Api) -> None:
    key = await api.key("read")

    async def read_to_the_end(presented: str) -> None:
        async with api.acting(presented) as client, client.stream("GET", "/events") as stream:
            is_open.set()
            async for _ in stream.aiter_lines():
                pass

    for end in ("rotated", "token"):
        is_open = asyncio.Event()
        presented = key if end == "rotated" else await token_of(api, await api.key("*"), ttlSeconds=2)
        reading = asyncio.create_task(read_to_the_end(presented))
        await is_open.wait()
        if end == "rotated":
            await rotated(api, key, 0)
        async with asyncio.timeout(60):
            await reading


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


def test_secrets_do_not_show_in_what_is_printed() -> None:
    caller = auth.Caller("key_x", (), secret_hash="f" * 64)
    assert "ffff" not in repr(caller)
