"""Whole lives of orders: create, reserve, escrow, fund, release, each asked for when the one before is answered.

Measured: each verb as the marketplace sees it, from request to the answer that it is done (`Prefer: wait`), lives per second, and the CPU
of each role per life, including what goes on for a moment after the last answer. Every order of a cell has its own buyer and seller,
so no two wait for the same user's account; the platform's signers are shared, as always.
Not measured: waiting for ledgers, which is five seconds each on the real network, and Trustless Work's own slowness and limits.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from bench.connection import Connection
from bench.cpu import Meter, Usage
from bench.failure import BenchFailure
from bench.latency import Latency
from bench.market import Market
from bench.target import Target, expect

AMOUNT = "10.00"
VERBS = ("reserve", "escrow", "escrow/fund", "resolution/release")
# What the workflows still do after the last answer belongs to the lives too.
AFTERGLOW_S = 1.5


@dataclass(frozen=True)
class LifeCycles:
    concurrency: int
    count: int
    per_second: float
    whole: Latency
    verbs: Mapping[str, Latency]
    usage: Usage
    orders: tuple[str, ...]


class Lives:
    """``market`` has at least as many pairs as a cell has orders."""

    def __init__(self, api: Target, market: Market, meter: Meter) -> None:
        self._api = api
        self._market = market
        self._meter = meter

    async def run(self, concurrency: int, count: int) -> LifeCycles:
        if count > len(self._market.buyers):
            raise BenchFailure(f"{count} orders at a time need as many pairs of users; there are {len(self._market.buyers)}")
        numbers, samples, orders = iter(range(count)), defaultdict[str, list[float]](list), list[str]()
        before = self._meter.read()
        await asyncio.gather(*(self._live(numbers, samples, orders) for _ in range(concurrency)))
        took_s = time.perf_counter() - before.at
        await asyncio.sleep(AFTERGLOW_S)
        return LifeCycles(
            concurrency=concurrency,
            count=count,
            per_second=round(count / took_s, 2),
            whole=Latency.of(samples.pop("whole")),
            verbs={verb: Latency.of(taken) for verb, taken in samples.items()},
            usage=self._meter.since(before, count),
            orders=tuple(orders),
        )

    async def _live(self, numbers: Iterator[int], samples: dict[str, list[float]], orders: list[str]) -> None:
        connection = await self._api.connect()
        for number in numbers:
            born = began = time.perf_counter()
            created = expect(await connection.send(self._api.post("/orders", self._market.order(number, AMOUNT))), 201)
            samples["create"].append(time.perf_counter() - began)
            order = str(created["data"]["id"])
            for verb in VERBS:
                began = time.perf_counter()
                await self._verb(connection, order, verb)
                samples[verb].append(time.perf_counter() - began)
            samples["whole"].append(time.perf_counter() - born)
            orders.append(order)
        connection.close()

    async def _verb(self, connection: Connection, order: str, verb: str) -> None:
        if verb == VERBS[-1]:
            await self._market.release(connection, order)
        else:
            await self._market.carry_out(connection, order, verb)
