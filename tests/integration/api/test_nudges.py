"""Hints between processes: quick, shared, and silent when Redis is away."""

from __future__ import annotations

import asyncio
import time

from redis.asyncio import Redis

from offerhub.stream.nudges import Nudges


async def test_a_waiter_is_woken_for_its_kind_only(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    telling, hearing = Nudges(redis), Nudges(redis, ["events", "messages"])
    await hearing.wait("events", 0.3)
    began = time.monotonic()
    waiting = asyncio.gather(hearing.wait("events", 5), hearing.wait("messages", 1))
    await asyncio.sleep(0.05)
    await telling.publish(frozenset({"events"}))
    await waiting
    assert 0.9 < time.monotonic() - began < 2, "messages waited out its time, events did not"
    await telling.close()
    await hearing.close()
    await redis.aclose()


async def test_nothing_published_is_forgotten_while_another_is_told(redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    telling, hearing = Nudges(redis), Nudges(redis, ["events", "messages"])
    await hearing.wait("events", 0.3)
    await telling.publish(frozenset({"events"}))
    await asyncio.sleep(0)
    await telling.publish(frozenset({"messages"}))
    async with asyncio.timeout(2):
        await asyncio.gather(hearing.wait("events", 5), hearing.wait("messages", 5))
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
