"""Rate limits over HTTP: who is counted as whom, by how many processes, and what happens without Redis."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from api import rate_limit
from api.rate_limit import Counters, Limit, _name
from devstack import ports, valkey
from tests.integration.api.conftest import Api, opened
from tests.integration.api.test_access import code_of, token_of
from tests.integration.api.test_orders import UNIT
from tests.integration.api.test_process import ROOT, environment
from tests.services import TestServices

LIMIT = 5
PATIENT_API = "import runpy, api.rate_limit as limits; limits.REDIS_TIMEOUT_S = 30.0; runpy.run_module('api', run_name='__main__')"


async def statuses(client: httpx.AsyncClient, path: str, times: int) -> Counter[int]:
    answers = await asyncio.gather(*(client.get(path, headers={"Accept": "application/json"}) for _ in range(times)))
    return Counter(answer.status_code for answer in answers)


@pytest.fixture
async def limited(postgres_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with opened(postgres_url, redis_url, rate_limit_key_per_minute=LIMIT) as api:
        yield api


@dataclass(frozen=True)
class OwnRedis:
    """One to kill."""

    url: str
    process: subprocess.Popen[bytes]


@pytest.fixture
def own_redis(services: TestServices) -> Iterator[OwnRedis]:
    port = ports.any_free()
    child = services.start(valkey.prepare(services.folder / f"redis-{port}", port, durable=False))
    yield OwnRedis(valkey.url(port), child.process)
    child.process.send_signal(signal.SIGCONT)
    child.process.kill()
    child.process.wait()


async def test_a_key_is_told_where_it_stands_and_refused_beyond(limited: Api) -> None:
    async with limited.acting(await limited.key("read")) as client:
        began = time.time()
        for used in range(1, LIMIT + 1):
            answer = await client.get("/users/usr_none" if used % 2 else "/me")
            assert answer.headers["x-ratelimit-limit"] == str(LIMIT)
            assert answer.headers["x-ratelimit-remaining"] == str(LIMIT - used)
            assert began + 58 < int(answer.headers["x-ratelimit-reset"]) < time.time() + 62
        for _ in range(3):
            refused = await client.get("/me")
            assert (refused.status_code, code_of(refused)) == (429, "RATE_LIMITED")
            assert refused.headers["x-ratelimit-remaining"] == "0"
            assert 30 < int(refused.headers["retry-after"]) <= 60
            details = refused.json()["error"]["details"]
            assert (details["limit"], details["counted"]) == (LIMIT, "key")
            assert refused.json()["error"]["requestId"] == refused.headers["x-request-id"]
        assert (await client.get("/health")).status_code == 200
    async with limited.acting(await limited.key("read")) as another:
        assert (await another.get("/me")).status_code == 200


async def test_refusals_of_scope_count_and_show_the_quota(limited: Api) -> None:
    async with limited.acting(await limited.key("read")) as client:
        assert await statuses(client, "/auth/api-keys", LIMIT + 2) == {403: LIMIT, 429: 2}
        assert (await client.get("/auth/api-keys")).headers["x-ratelimit-limit"] == str(LIMIT)


async def test_tokens_count_for_their_key_and_bound_ones_for_their_user(limited: Api) -> None:
    key = await limited.key("read", "write")
    user, other = (await limited.market.user()).id, (await limited.market.user()).id
    token, first, second, others = [
        await token_of(limited, key, **wish) for wish in ({}, {"userId": user}, {"userId": user}, {"userId": other})
    ]
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(limited.acting(one)) for one in (key, token, first, second, others)]
        of_key, of_token, of_first, of_second, of_other = clients
        assert (await of_key.get("/me")).status_code == 200
        assert (await of_token.get("/me")).status_code == 429, "four tokens made and one request"
        assert await statuses(of_first, "/me", 3) == {200: 3}
        assert await statuses(of_second, "/me", 3) == {200: 2, 429: 1}
        assert (await of_other.get("/me")).status_code == 200


async def test_streams_are_counted_by_themselves(postgres_url: str, redis_url: str) -> None:
    few = {"rate_limit_streams_per_minute": 2, "rate_limit_key_per_minute": 4}
    async with opened(postgres_url, redis_url, **few) as api, api.acting(await api.key("read")) as client:
        for expected in (200, 200, 429):
            async with client.stream("GET", "/events") as stream:
                assert stream.status_code == expected
                assert stream.headers["x-ratelimit-limit"] == "2"
        page = await client.get("/events", headers={"Accept": "application/json"})
        assert (page.status_code, page.headers["x-ratelimit-remaining"]) == (200, "3")


async def test_withdrawals_are_counted_per_user(postgres_url: str, redis_url: str) -> None:
    async with opened(postgres_url, redis_url, rate_limit_withdrawals_per_minute=2) as api:
        user, other = (await api.market.user(100 * UNIT)).id, (await api.market.user(100 * UNIT)).id
        wish = {"amount": "1.00", "destinationType": "crypto", "destinationRef": "GNONSENSE"}
        codes = [code_of(await api.client.post("/withdrawals", json={"userId": user, **wish})) for _ in range(4)]
        assert codes == ["WITHDRAWAL_DESTINATION_INVALID"] * 2 + ["RATE_LIMITED"] * 2
        assert code_of(await api.client.post("/withdrawals", json={"userId": other, **wish})) == "WITHDRAWAL_DESTINATION_INVALID"
        kept = {"Idempotency-Key": "k"}
        refused = await api.client.post("/withdrawals", json={"userId": user, **wish}, headers=kept)
        assert (refused.status_code, refused.json()["error"]["details"]["counted"]) == (429, "withdrawals")
        async with api.services.database.reading() as reader:
            assert await reader.rows(text("SELECT 1 FROM idempotency_keys")) == [], "asking again later is another try"


async def test_an_address_without_a_valid_key_is_refused_before_its_keys_are_read(postgres_url: str, redis_url: str) -> None:
    async with opened(postgres_url, redis_url, rate_limit_address_per_minute=LIMIT) as api:
        known, fresh = await api.key("read"), await api.key("read")
        async with api.acting(known) as client:
            assert (await client.get("/me")).status_code == 200
        async with api.acting(f"ohk_test_{'0' * 26}_{'a' * 64}") as stranger, api.acting(None) as nobody:
            assert await statuses(stranger, "/me", 3) == {401: 3}
            assert await statuses(nobody, "/config", 3) == {200: 2, 429: 1}
            answer = await stranger.get("/me")
            assert (answer.status_code, code_of(answer)) == (429, "RATE_LIMITED")
            assert await statuses(nobody, "/health", 20) == {200: 20}
        async with api.acting(fresh) as client:
            assert (await client.get("/me")).status_code == 429, "not looked up"
        async with api.acting(known) as client:
            assert await statuses(client, "/me", 20) == {200: 20}, "not locked out by its neighbours"


async def test_zero_is_off(api: Api) -> None:
    answers = [await api.client.get("/me") for _ in range(150)]
    assert {answer.status_code for answer in answers} == {200}
    assert not [name for name in answers[-1].headers if name.startswith("x-ratelimit")]


@asynccontextmanager
async def two_processes(postgres_url: str, redis_url: str) -> AsyncIterator[list[str]]:
    """``python -m api`` twice, neither of which takes Redis for dead on a machine that has other things to do."""
    async with AsyncExitStack() as stack:
        urls = []
        for _ in range(2):
            port = ports.any_free()
            values = environment(postgres_url, redis_url, port) | {"RATE_LIMIT_KEY_PER_MINUTE": "20"}
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-c", PATIENT_API), cwd=ROOT, env=values, stdout=subprocess.DEVNULL
            )
            stack.push_async_callback(process.wait)
            stack.callback(process.kill)
            urls.append(f"http://127.0.0.1:{port}/api/v1")
        async with asyncio.timeout(90), httpx.AsyncClient(trust_env=False) as client:
            for url in urls:
                while True:
                    try:
                        assert (await client.get(f"{url}/health")).status_code == 200
                        break
                    except httpx.ConnectError:
                        await asyncio.sleep(0.1)
        yield urls


async def test_two_processes_share_one_count_and_go_on_without_redis(postgres_url: str, own_redis: OwnRedis) -> None:
    async with opened(postgres_url, own_redis.url) as api, two_processes(postgres_url, own_redis.url) as urls, AsyncExitStack() as stack:

        async def clients(key: str) -> list[httpx.AsyncClient]:
            return [await stack.enter_async_context(replace(api, url=url).acting(key)) for url in urls]

        async def at_both(key: str, times: int) -> Counter[int]:
            counted = await asyncio.gather(*(statuses(client, "/me", times) for client in await clients(key)))
            return counted[0] + counted[1]

        first, second, third = [await api.key("read") for _ in range(3)]
        assert await at_both(first, 15) == {200: 20, 429: 10}
        assert await at_both(first, 1) == {429: 2}
        for client in [*await clients(second), *await clients(second)]:
            assert await statuses(client, "/me", 3) == {200: 3}
        own_redis.process.kill()
        own_redis.process.wait()
        assert await at_both(first, 3) == {429: 6}, "what was refused stays refused"
        # Each process goes on from what it has heard of, nine and twelve, and from nothing where it has heard nothing.
        assert await at_both(second, 15) == {200: 11 + 8, 429: 4 + 7}
        assert await at_both(third, 25) == {200: 40, 429: 10}


async def test_a_redis_that_does_not_answer_holds_nobody_up(
    postgres_url: str, own_redis: OwnRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT_S", 1.0)
    monkeypatch.setattr(rate_limit, "_AWAY_S", 3600.0)
    async with opened(postgres_url, own_redis.url, rate_limit_key_per_minute=50) as api, api.acting(await api.key("read")) as client:
        assert (await client.get("/me")).headers["x-ratelimit-remaining"] == "49"
        own_redis.process.send_signal(signal.SIGSTOP)
        took = []
        for left in range(48, 38, -1):
            began = time.monotonic()
            answer = await client.get("/me")
            took.append(time.monotonic() - began)
            assert (answer.status_code, answer.headers["x-ratelimit-remaining"]) == (200, str(left))
        assert took[0] >= 1 > max(took[1:]), "only the first waits"
        own_redis.process.send_signal(signal.SIGCONT)
        api.services.rate_limits._counters._away_until = 0.0
        # It counts again, from what it was told: the question nobody waited for may be among it.
        assert (await client.get("/me")).headers["x-ratelimit-remaining"] in {"48", "47"}


async def test_a_thousand_at_once_are_told_each_place_once_in_few_questions(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rate_limit, "REDIS_TIMEOUT_S", 30.0)
    redis = Redis.from_url(redis_url)
    counters = Counters(redis)
    asked = 0
    script = counters._script

    async def counting(**arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await script(**arguments)

    counters._script = counting  # type: ignore[assignment]
    windows = await asyncio.gather(*(counters.count("key:a" if number % 2 else "key:b", 1_000) for number in range(1_000)))
    assert sorted(window.used for window in windows[1::2]) == sorted(window.used for window in windows[::2]) == list(range(1, 501))
    assert asked <= 2
    kept = {key: await redis.pttl(key) for key in await redis.keys("offerhub:rate:*")}
    assert kept.keys() == {b"offerhub:rate:key:a", b"offerhub:rate:key:b"}
    assert all(50_000 < left_ms <= 60_000 for left_ms in kept.values()), "nothing stays"
    await counters.close()
    await redis.aclose()


async def test_a_window_ends(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rate_limit.WINDOW_S", 1.5)
    async with Redis.from_url(redis_url) as redis, Redis.from_url("redis://127.0.0.1:1") as nowhere:
        for place in (redis, nowhere):
            counters = Counters(place)
            assert [(await counters.count("key:x", 2)).used for _ in range(5)] == [1, 2, 3, 3, 3]
            await asyncio.sleep(1.6)
            assert (await counters.count("key:x", 2)).used == 1
            await counters.close()


async def test_memory_is_bounded(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.rate_limit._REMEMBERED", 10)
    for place in (redis_url, "redis://127.0.0.1:1"):
        async with Redis.from_url(place) as redis:
            counters = Counters(redis)
            for number in range(50):
                await counters.count(f"address:{number}", 5)
            assert len(counters._windows) == 10
            await counters.close()


@pytest.mark.parametrize(
    ("one", "another", "same"),
    [
        ("203.0.113.1", "203.0.113.2", False),
        ("203.0.113.1", "::ffff:203.0.113.1", True),
        ("2001:db8::1", "2001:db8::ffff:1", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("", "unix", False),
    ],
)
def test_which_addresses_are_one_caller(one: str, another: str, same: bool) -> None:  # noqa: FBT001 a table
    assert (_name(Limit.ADDRESS, one) == _name(Limit.ADDRESS, another)) is same


def test_the_environment_of_this_test_has_no_limits() -> None:
    assert not [name for name in os.environ if name.startswith("RATE_LIMIT_")]
