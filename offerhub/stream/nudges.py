"""Hints between processes that rows were committed. A lost hint costs a poll interval, never a row."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

_CHANNEL = "offerhub:nudge:"
_RECONNECT_S = 1.0


class Nudges:
    """Publishes kinds of written rows, and wakes those who wait for a kind in this process."""

    def __init__(self, redis: Redis, kinds: Iterable[str] = ()) -> None:
        self._redis = redis
        self._waiting = {kind: asyncio.Event() for kind in kinds}
        self._listener: asyncio.Task[None] | None = None

    async def publish(self, kinds: frozenset[str]) -> None:
        """Tell everybody; silent when Redis is away."""
        for kind in kinds:
            with contextlib.suppress(RedisError, OSError):
                await self._redis.publish(_CHANNEL + kind, b"")

    async def wait(self, kind: str, timeout_s: float) -> None:
        """Return at the next nudge of this kind, or after ``timeout_s``."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(), name="nudges")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._waiting[kind].wait(), timeout_s)
        self._waiting[kind].clear()

    async def close(self) -> None:
        if self._listener is not None:
            self._listener.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listener

    async def _listen(self) -> None:
        while True:
            with contextlib.suppress(RedisError, OSError):
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(*(_CHANNEL + kind for kind in self._waiting))
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            self._waiting[message["channel"].decode().removeprefix(_CHANNEL)].set()
            await asyncio.sleep(_RECONNECT_S)
