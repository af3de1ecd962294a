"""A cancellation that the driver's wait swallowed still ends whoever was to end: a worker that is told to stop does stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import cast

import pytest
from redis.asyncio import Redis
from temporalio.client import Client

from activities.engine_clock import watch_deadlines
from activities.housekeeping import keep_house
from activities.outbox import Dispatcher
from offerhub.domain.context import Context
from offerhub.storage.unit_of_work import EVENTS_WRITTEN, MESSAGES_WRITTEN, Database, Transaction
from offerhub.stream.nudges import Nudges
from offerhub.stream.relay import Relay
from offerhub.stream.sealer import Sealer

Run = Callable[[Database, Nudges], Awaitable[None]]
RUNS: dict[str, Run] = {
    # It has no message to deliver, so it asks nothing of Temporal.
    "outbox": lambda database, nudges: Dispatcher(database, cast("Client", None), nudges, 10).run(),
    "housekeeping": lambda database, _: keep_house(database),
    "deadlines": lambda database, _: watch_deadlines(database),
    "relay": lambda database, nudges: Relay(database, nudges._redis, nudges).run(),
    "sealer": lambda database, _: Sealer(database).run(),
}


class Forgetful(Database):
    """Loses the first cancellation, as ``asyncio.wait_for`` of Python 3.11 does where it comes just as the wait ends."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.is_waiting = asyncio.Event()

    @asynccontextmanager
    async def transaction(self, context: Context) -> AsyncIterator[Transaction]:
        if not self.is_waiting.is_set():
            self.is_waiting.set()
            with suppress(asyncio.CancelledError):
                await asyncio.get_running_loop().create_future()
        async with super().transaction(context) as transaction:
            yield transaction


@pytest.mark.parametrize("name", RUNS)
async def test_a_lost_cancellation_ends_it_all_the_same(name: str, postgres_url: str, redis_url: str) -> None:
    database = Forgetful(postgres_url)
    async with Redis.from_url(redis_url) as redis:
        nudges = Nudges(redis, (EVENTS_WRITTEN, MESSAGES_WRITTEN))
        running = asyncio.ensure_future(RUNS[name](database, nudges))
        await database.is_waiting.wait()
        running.cancel()
        async with asyncio.timeout(30):
            await running
        await nudges.close()
    await database.close()
