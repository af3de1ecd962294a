"""How long after its commit an event reaches a subscriber of `GET /events`, on an otherwise idle stack.

The moment of the commit cannot be seen from outside; two moments around it can. ``occurredAt`` is when the transaction began (cut to
the millisecond), so the latency from it includes the transaction and is too long; the answer to the request that created the order arrives
after the commit, so the latency from it is too short, and negative when the event was faster than the answer. The truth is between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import orjson
from httptools import HttpResponseParser

from bench.failure import BenchFailure
from bench.latency import Latency
from bench.market import Market
from bench.target import Target, expect

ORDERS_PER_S = 20
AMOUNT = "1.00"
# The answer's head may come a moment before the subscription is in place.
SUBSCRIBING_S = 0.5
LAST_EVENT_LIMIT_S = 5.0


@dataclass(frozen=True)
class SseLatency:
    orders_per_second: int
    since_transaction_began: Latency
    since_response: Latency


class _Received(NamedTuple):
    at: float
    occurred_at: float


class _Subscription(asyncio.Protocol):
    """Notes when each order's event arrives; reads nothing else of the stream."""

    def __init__(self) -> None:
        self.received: dict[str, _Received] = {}
        self.live = asyncio.get_running_loop().create_future()
        self._parser = HttpResponseParser(self)
        self._buffer = b""
        self._now = 0.0

    def data_received(self, data: bytes) -> None:
        self._now = time.time()
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.live.done():
            self.live.set_exception(BenchFailure(f"no event stream: {exc or 'closed by the server'}"))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 200:
            self.live.set_result(None)
        else:
            self.live.set_exception(BenchFailure(f"GET /events answered {status}"))

    def on_body(self, body: bytes) -> None:
        *messages, self._buffer = (self._buffer + body).replace(b"\r\n", b"\n").split(b"\n\n")
        for message in messages:
            for data in _data_of(message):
                event = orjson.loads(data)
                occurred_at = datetime.fromisoformat(event["occurredAt"]).timestamp()
                self.received[event["aggregateId"]] = _Received(self._now, occurred_at)


async def measure(api: Target, market: Market, seconds: float) -> SseLatency:
    transport, subscription = await asyncio.get_running_loop().create_connection(_Subscription, api.host, api.port)
    connection = await api.connect()
    answered: dict[str, float] = {}
    try:
        transport.write(api.get("/events?types=order.created", b"Accept: text/event-stream\r\n"))
        await subscription.live
        await asyncio.sleep(SUBSCRIBING_S)
        async for number in _paced(int(seconds * ORDERS_PER_S)):
            answer = await connection.send(api.post("/orders", market.order(number, AMOUNT)))
            answered_at = time.time()
            answered[expect(answer, 201)["data"]["id"]] = answered_at
        await _until_all_came(subscription, answered)
    finally:
        connection.close()
        transport.close()
    pairs = [(subscription.received[order], answered_at) for order, answered_at in answered.items()]
    return SseLatency(
        orders_per_second=ORDERS_PER_S,
        since_transaction_began=Latency.of([received.at - received.occurred_at for received, _ in pairs]),
        since_response=Latency.of([received.at - answered_at for received, answered_at in pairs]),
    )


async def _paced(count: int) -> AsyncIterator[int]:
    began = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / ORDERS_PER_S - time.perf_counter()))
        yield number


async def _until_all_came(subscription: _Subscription, answered: dict[str, float]) -> None:
    until = time.monotonic() + LAST_EVENT_LIMIT_S
    while missing := answered.keys() - subscription.received.keys():
        if time.monotonic() > until:
            raise BenchFailure(f"{len(missing)} of {len(answered)} events never came, {min(missing)} among them")
        await asyncio.sleep(0.05)


def _data_of(message: bytes) -> Iterator[bytes]:
    return (line.removeprefix(b"data:").strip() for line in message.split(b"\n") if line.startswith(b"data:"))
