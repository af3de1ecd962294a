"""The sandbox's ledgers closed from here, so that the moment of each close is known to the millisecond; the chain itself tells seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import orjson

from bench.connection import Connection
from bench.failure import BenchFailure
from bench.target import Target, expect


@dataclass
class HandClock:
    """``closed_at`` are the moments the sandbox was told to close a ledger: what is counted from them includes the closing itself."""

    sandbox: Target
    connection: Connection
    closed_at: list[float] = field(default_factory=list)

    async def close(self) -> float:
        told_at = time.time()
        expect(await self.connection.send(self.sandbox.post("/control/ledger", b'{"close": 1}')), 200)
        self.closed_at.append(told_at)
        return told_at

    def closes_between(self, begin: float, end: float) -> list[float]:
        return [moment for moment in self.closed_at if begin < moment <= end]


@asynccontextmanager
async def closed_by_hand(sandbox: Target) -> AsyncIterator[HandClock]:
    """No ledger closes by itself meanwhile; afterwards they do as before."""
    connection = await sandbox.connect()
    before = expect(await connection.send(sandbox.get("/control/clock")), 200)["intervalSeconds"]
    if before is None:
        raise BenchFailure("the sandbox's ledger does not close by itself; somebody else has stopped it")
    try:
        await _set_interval(sandbox, None)
        yield HandClock(sandbox, connection)
    finally:
        await _set_interval(sandbox, before)
        connection.close()


@asynccontextmanager
async def closed_every(sandbox: Target, interval_s: float) -> AsyncIterator[HandClock]:
    """A ledger each ``interval_s``, the first one before this is entered."""
    async with closed_by_hand(sandbox) as clock:
        await clock.close()
        enough = asyncio.Event()
        closing = asyncio.create_task(_close_until(enough, clock, interval_s))
        try:
            yield clock
        finally:
            # Not cancelled: the connection must have had its last answer.
            enough.set()
            await closing


async def _close_until(enough: asyncio.Event, clock: HandClock, interval_s: float) -> None:
    due = clock.closed_at[-1]
    while True:
        due += interval_s
        with suppress(TimeoutError):
            await asyncio.wait_for(enough.wait(), due - time.time())
            return
        await clock.close()


async def _set_interval(sandbox: Target, interval_s: float | None) -> None:
    """On a connection of its own: after Ctrl-C another one may still wait for an answer."""
    connection = await sandbox.connect()
    expect(await connection.send(sandbox.post("/control/ledger", orjson.dumps({"intervalSeconds": interval_s}))), 200)
    connection.close()
