"""GET order, POST order and POST reserve at one concurrency: latency and throughput of each.

Measured: from writing a request to having its whole answer, on keep-alive connections, closed loop (each connection sends the next
request when it has the last answer), after a warm-up that is not counted. Every request is a different one: each POST has its own
Idempotency-Key, each reserve its own order, neighbours in time have different buyers and sellers.
Not measured: TLS, the network, an open loop's queueing. The generator shares the machine with the stack; its CPU time is reported.
Orders also wake their workflow at the outbox's background rate meanwhile, as in production; that is part of the load.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import orjson

from bench.connection import Connection
from bench.cpu import Meter, Usage
from bench.failure import BenchFailure
from bench.latency import Latency
from bench.market import Market
from bench.target import Target, check

ORDER_AMOUNT = "1.00"


@dataclass(frozen=True)
class Cell:
    """``usage`` is of all that happened meanwhile, per request."""

    request: str
    concurrency: int
    latency: Latency
    per_second: float
    usage: Usage


@dataclass(frozen=True)
class Pace:
    concurrency: int
    warm_up_s: float
    seconds: float


@dataclass
class _Load:
    requests: Iterator[bytes]
    status: int
    ends_at: float
    counting: bool = False
    last_answer_at: float = 0.0
    samples_s: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


class Cells:
    def __init__(self, api: Target, market: Market, meter: Meter) -> None:
        self._api = api
        self._market = market
        self._meter = meter
        self._numbers = count()

    async def run(self, pace: Pace) -> list[Cell]:
        """The orders of the first cell are what the second reserves and the third reads."""
        created, bodies = await self._cell("POST order", pace, self._orders(), 201)
        orders = [str(orjson.loads(body)["data"]["id"]) for body in bodies]
        reserved, _ = await self._cell("POST reserve", pace, (self._api.post(f"/orders/{order}/reserve") for order in orders), 200)
        read, _ = await self._cell("GET order", pace, (self._api.get(f"/orders/{random.choice(orders)}") for _ in count()), 200)
        return [read, created, reserved]

    def _orders(self) -> Iterator[bytes]:
        for number in self._numbers:
            yield self._api.post("/orders", self._market.order(number, ORDER_AMOUNT))

    async def _cell(self, name: str, pace: Pace, requests: Iterator[bytes], status: int) -> tuple[Cell, list[bytes]]:
        connections = [await self._api.connect() for _ in range(pace.concurrency)]
        load = _Load(requests, status, ends_at=time.perf_counter() + pace.warm_up_s + pace.seconds)
        try:
            sending = asyncio.gather(*(_send(connection, load) for connection in connections))
            await asyncio.wait({sending}, timeout=pace.warm_up_s)
            before = self._meter.read()
            load.counting = True
            await sending
            usage = self._meter.since(before, max(1, len(load.samples_s)))
        finally:
            for connection in connections:
                connection.close()
        requests_counted = len(load.samples_s)
        if not requests_counted:
            raise BenchFailure(f"{name} at {pace.concurrency}: all requests were used up by the warm-up")
        cell = Cell(
            request=name,
            concurrency=pace.concurrency,
            latency=Latency.of(load.samples_s),
            per_second=round(requests_counted / (load.last_answer_at - before.at), 1),
            usage=usage,
        )
        return cell, load.bodies


async def _send(connection: Connection, load: _Load) -> None:
    while (began := time.perf_counter()) < load.ends_at and (request := next(load.requests, None)):
        answer = await connection.send(request)
        check(answer, load.status)
        load.bodies.append(answer.body)
        if load.counting:
            load.last_answer_at = time.perf_counter()
            load.samples_s.append(load.last_answer_at - began)
