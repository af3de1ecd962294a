"""The request budget against a real Valkey, and alone when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from offerhub.providers import budget as budget_module
from offerhub.providers.budget import LocalBudget, Priority, RequestBudget, slots_left_to_others

RELEASE, FUND, DEPLOY, INDEX = Priority.RELEASE, Priority.FUND, Priority.DEPLOY, Priority.INDEX


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def taken(budget: RequestBudget, priority: Priority, tries: int) -> int:
    """How many of ``tries`` calls get a slot."""
    return [await budget.acquire(priority) for _ in range(tries)].count(None)


def shorten(monkeypatch: pytest.MonkeyPatch, **milliseconds: int) -> None:
    for name, value in milliseconds.items():
        monkeypatch.setattr(budget_module, name, value)


async def test_the_window_holds_so_many_and_says_when_the_next_is_free(redis: Redis) -> None:
    budget = RequestBudget(redis, "tw", 10)
    assert await taken(budget, RELEASE, 12) == 10
    wait = await budget.acquire(RELEASE)
    assert wait is not None
    assert 57 <= wait <= 62


async def test_all_processes_share_one_window_and_no_slot_is_given_twice(redis: Redis, redis_url: str) -> None:
    async with Redis.from_url(redis_url) as other:
        budgets = [RequestBudget(client, "tw", 20) for client in (redis, other)]
        answers = await asyncio.gather(*(budgets[n % 2].acquire(RELEASE) for n in range(60)))
    assert answers.count(None) == 20


async def test_budgets_of_different_names_are_apart(redis: Redis) -> None:
    assert await taken(RequestBudget(redis, "one", 3), RELEASE, 5) == 3
    assert await taken(RequestBudget(redis, "two", 3), RELEASE, 5) == 3


@pytest.mark.parametrize(("priority", "slots"), [(RELEASE, 50), (FUND, 40), (DEPLOY, 30), (INDEX, 25)])
async def test_each_class_leaves_slots_to_those_above(redis: Redis, priority: Priority, slots: int) -> None:
    budget = RequestBudget(redis, "tw", 50)
    assert await taken(budget, priority, 55) == slots
    assert await taken(budget, RELEASE, 55) == 50 - slots


async def test_a_lower_class_stands_back_while_a_higher_one_waits(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, WINDOW_MS=1_600, PATIENCE_MS=1_200, STAND_BACK_MS=400)
    budget = RequestBudget(redis, "tw", 10)
    assert await taken(budget, RELEASE, 10) == 10
    assert await budget.acquire(RELEASE) is not None
    await asyncio.sleep(1.7)
    assert await budget.acquire(DEPLOY) is not None, "slots are free, but a release was told to come back for one"
    assert await budget.acquire(RELEASE) is None
    await asyncio.sleep(1.2)
    assert await budget.acquire(DEPLOY) is None


async def test_a_waiting_lower_class_does_not_hold_up_a_higher_one(redis: Redis) -> None:
    budget = RequestBudget(redis, "tw", 10)
    assert await taken(budget, DEPLOY, 8) == 6
    assert await budget.acquire(FUND) is None


async def test_the_index_comes_back_when_there_may_be_room_again(redis: Redis) -> None:
    """It has eight tries: two seconds apart they would all be over within the busy minute."""
    local, shared = LocalBudget(50), RequestBudget(redis, "tw", 50)
    assert [local.acquire(INDEX) for _ in range(26)] == [0] * 25 + [20_000]
    assert [await shared.acquire(INDEX) for _ in range(26)] == [None] * 25 + [20]


async def test_the_window_slides(redis: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten(monkeypatch, WINDOW_MS=1_200)
    budget = RequestBudget(redis, "tw", 2)
    assert await taken(budget, RELEASE, 3) == 2
    await asyncio.sleep(1.3)
    assert await taken(budget, RELEASE, 3) == 2


async def test_a_429_blocks_everybody_until_then(redis: Redis, redis_url: str) -> None:
    budget = RequestBudget(redis, "tw", 50)
    await budget.block(30)
    async with Redis.from_url(redis_url) as other:
        wait = await RequestBudget(other, "tw", 50).acquire(RELEASE)
    assert wait is not None
    assert 28 <= wait <= 30


async def test_zero_switches_it_off(redis: Redis) -> None:
    assert await taken(RequestBudget(redis, "tw", 0), INDEX, 500) == 500


@pytest.mark.parametrize("per_minute", [1, 2, 3])
async def test_even_a_tiny_budget_lets_every_class_through(redis: Redis, per_minute: int) -> None:
    assert await RequestBudget(redis, "tw", per_minute).acquire(INDEX) is None


async def test_without_redis_each_process_keeps_the_budget_by_itself() -> None:
    async with Redis.from_url("redis://127.0.0.1:9", socket_connect_timeout=0.2) as nobody:
        budget = RequestBudget(nobody, "tw", 10)
        assert await taken(budget, DEPLOY, 10) == 6
        assert await taken(budget, RELEASE, 10) == 4
        await budget.block(20)
        wait = await budget.acquire(RELEASE)
    assert wait is not None
    assert 19 <= wait <= 20


async def test_a_redis_that_hangs_is_no_redis(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "REDIS_TIMEOUT_S", 0.1)
    ended = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, Redis.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as hanging:
        assert await RequestBudget(hanging, "tw", 10).acquire(RELEASE) is None
        ended.set()


def test_the_local_window_slides_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget_module, "WINDOW_MS", 0)
    local = LocalBudget(1)
    assert [local.acquire(RELEASE) for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize("per_minute", range(1, 100, 7))
def test_more_urgent_is_never_worse_off(per_minute: int) -> None:
    left = [slots_left_to_others(per_minute, priority) for priority in Priority]
    assert left == sorted(left)
    assert left[0] == 0
    assert left[-1] < per_minute
