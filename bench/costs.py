"""What each safeguard adds to a request that changes something: the audit entry, the idempotency key, the rate limit.

Measured: CPU time of this process and of PostgreSQL per transaction, one at a time, with and without the rows of each; the count in Redis
by itself (of Redis' own CPU time nothing: it is shared). Not measured: what the worker does later, numbering events and sealing entries.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import uvloop
from redis.asyncio import Redis

from api.rate_limit import Counters
from bench import scale_data
from bench.cpu import Meter
from bench.stack import Stack
from offerhub.commands.order_facts import tell_order_workflow
from offerhub.domain.context import Context
from offerhub.domain.events import Event
from offerhub.storage import idempotency
from offerhub.storage.unit_of_work import Database, StoredAnswer, Transaction, new_id

WARM_UPS = 50
CALLS = 1_000
_ROOM = 10**9
_DATABASE = "bench_costs"
_AMOUNT = {"amount": "1.00", "buyerId": "usr_bench", "sellerId": "usr_bench2", "status": "ORDER_CREATED"}


@dataclass(frozen=True)
class Cost:
    """CPU per call."""

    api_ms: float
    postgres_ms: float


def measure(stack: Stack) -> Mapping[str, Cost]:
    """In a database of its own, where nobody follows up what is written."""
    try:
        url = scale_data.create(stack.database_url, _DATABASE, users=2)
        return uvloop.run(_costs(stack, url))
    finally:
        scale_data.drop(stack.database_url, _DATABASE)


async def _costs(stack: Stack, database_url: str) -> Mapping[str, Cost]:
    database, redis = Database(database_url), Redis.from_url(stack.redis_url)
    counters = Counters(redis)
    meter = Meter({"postgres": stack.pids["postgres"]})

    async def transaction(*parts: Callable[[Transaction], Awaitable[None]]) -> None:
        async with database.transaction(Context("bench", new_id("req"))) as opened:
            for part in parts:
                await part(opened)

    async def count() -> None:
        await counters.count("bench", _ROOM)

    parts: Mapping[str, Callable[[], Awaitable[None]]] = {
        "event and message": lambda: transaction(_event),
        "event, message, audit entry": lambda: transaction(_event, _audit),
        "event, message, idempotency key": lambda: transaction(_key, _event),
        "all four": lambda: transaction(_key, _event, _audit),
        "the count of the rate limit": count,
    }
    try:
        return {name: await _cost(part, meter) for name, part in parts.items()}
    finally:
        await counters.close()
        await redis.aclose()
        await database.close()


async def _cost(part: Callable[[], Awaitable[None]], meter: Meter) -> Cost:
    for _ in range(WARM_UPS):
        await part()
    before, own_before_s = meter.read(), time.process_time()
    for _ in range(CALLS):
        await part()
    own_s = time.process_time() - own_before_s
    return Cost(round(own_s * 1_000 / CALLS, 3), meter.since(before, CALLS).roles_ms["postgres"])


async def _event(transaction: Transaction) -> None:
    order_id = new_id("ord")
    transaction.emit(Event("order.created", order_id, {"orderId": order_id, **_AMOUNT}, ("usr_bench", "usr_bench2")))
    tell_order_workflow(transaction, order_id)


async def _audit(transaction: Transaction) -> None:
    transaction.audit("order.created", ("order", new_id("ord")), None, _AMOUNT)


async def _key(transaction: Transaction) -> None:
    key = str(uuid.uuid4())
    assert await idempotency.claim(transaction, "bench", key) is None
    answer = {"body": {"success": True, "data": _AMOUNT}, "location": None}
    transaction.store_answer(StoredAnswer("bench", key, "POST", "/orders", "0" * 64, 201, answer, None, hours=24))
