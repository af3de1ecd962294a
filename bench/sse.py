"""How long after its commit an event reaches a subscriber of `GET /events`, on an otherwise idle stack.

The moment of the commit cannot be seen from outside; two moments around it can. ``occurredAt`` is when the transaction began (cut to
the millisecond), so the latency from it includes the transaction and is too long; the answer to the request that created the order arrives
after the commit, so the latency from it is too short, and negative when the event was faster than the answer. The truth is between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bench.latency import Latency
from bench.market import Market
from bench.subscription import subscribed
from bench.target import Target, expect

ORDERS_PER_S = 20
AMOUNT = "1.00"
LAST_EVENT_LIMIT_S = 5.0


@dataclass(frozen=True)
class SseLatency:
    orders_per_second: int
    since_transaction_began: Latency
    since_response: Latency


async def measure(api: Target, market: Market, seconds: float) -> SseLatency:
    connection = await api.connect()
    answered: dict[str, float] = {}
    async with subscribed(api, "order.created", lambda event: str(event["aggregateId"])) as subscription:
        async for number in _paced(int(seconds * ORDERS_PER_S)):
            answer = await connection.send(api.post("/orders", market.order(number, AMOUNT)))
            answered_at = time.time()
            answered[expect(answer, 201)["data"]["id"]] = answered_at
        await subscription.all_of(answered.keys(), LAST_EVENT_LIMIT_S)
    connection.close()
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
