"""Hints between processes: quick, shared, and silent when Redis is away."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from offerhub.stream.nudges import Nudges

# Nobody waits for so long unless a nudge is lost.
LONG_S = 120


async def _is_heard(telling: Nudges, hearing: Nudges) -> None:
    """Until the first nudge arrives: what is told before the subscription is lost."""
    heard = asyncio.create_task(hearing.wait("events", LONG_S))
    async with asyncio.timeout(LONG_S / 2):
        while not heard.done():
            await telling.publish(frozenset({"events"}))
            await asyncio.wait((heard,), timeout=0.02)


async def test_a_waiter_is_woken_for_its_kind_only(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    telling, hearing = Nudges(redis), Nudges(redis, ["events", "messages"])
    of_messages = asyncio.create_task(hearing.wait("messages", LONG_S))
    await _is_heard(telling, hearing)
    assert not of_messages.done()
    await telling.publish(frozenset({"messages"}))
    async with asyncio.timeout(LONG_S / 2):
        await of_messages
    await telling.close()
    await hearing.close()
    await redis.aclose()


async def test_nothing_published_is_forgotten_while_another_is_told(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    telling, hearing = Nudges(redis), Nudges(redis, ["events", "messages"])
    await _is_heard(telling, hearing)
    await telling.publish(frozenset({"events"}))
    await asyncio.sleep(0)
    await telling.publish(frozenset({"messages"}))
    async with asyncio.timeout(LONG_S / 2):
        await asyncio.gather(hearing.wait("events", LONG_S), hearing.wait("messages", LONG_S))
    await telling.close()
    await hearing.close()
    await redis.aclose()


async def test_redis_away_is_nobodys_problem() -> None:
    redis = Redis.from_url("redis://127.0.0.1:1")
    nudges = Nudges(redis, ["events"])
    await nudges.publish(frozenset({"events"}))
    await nudges.wait("events", 0.05)
    await nudges.close()
    await redis.aclose()
