"""Hints between processes that rows were committed. A lost hint costs a poll interval, never a row."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from offerhub.stream.stopping import told_to_stop

_CHANNEL = "offerhub:nudge:"
_RECONNECT_S = 1.0


class Nudges:
    """Publishes kinds of written rows, and wakes those who wait for a kind in this process."""

    def __init__(self, redis: Redis, kinds: Iterable[str] = ()) -> None:
        self._redis = redis
        self._waiting = {kind: asyncio.Event() for kind in kinds}
        self._listener: asyncio.Task[None] | None = None
        self._untold: set[str] = set()
        self._teller: asyncio.Task[None] | None = None

    async def publish(self, kinds: frozenset[str]) -> None:
        """Tell everybody soon, without waiting for Redis; commits that happen while others are told share the next telling."""
        self._untold |= kinds
        if self._teller is None or self._teller.done():
            self._teller = asyncio.create_task(self._tell(), name="nudging")

    async def wait(self, kind: str, timeout_s: float) -> None:
        """Return at the next nudge of this kind, or after ``timeout_s``."""
        if self._listener is None or self._listener.done():
            self._listener = asyncio.create_task(self._listen(), name="nudges")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._waiting[kind].wait(), timeout_s)
        self._waiting[kind].clear()

    async def close(self) -> None:
        for task in (self._listener, self._teller):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _tell(self) -> None:
        while self._untold:
            kinds, self._untold = self._untold, set()
            with contextlib.suppress(RedisError, OSError):
                async with self._redis.pipeline(transaction=False) as pipeline:
                    for kind in kinds:
                        pipeline.publish(_CHANNEL + kind, b"")
                    await pipeline.execute()

    async def _listen(self) -> None:
        while not told_to_stop():
            with contextlib.suppress(RedisError, OSError):
                async with self._redis.pubsub() as pubsub:
                    await pubsub.subscribe(*(_CHANNEL + kind for kind in self._waiting))
                    async for message in pubsub.listen():
                        if message["type"] == "message":
                            self._waiting[message["channel"].decode().removeprefix(_CHANNEL)].set()
            await asyncio.sleep(_RECONNECT_S)
