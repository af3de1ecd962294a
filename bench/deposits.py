"""Deposits: how fast a backlog is credited, and how soon after its ledger's close a single one is told.

Backlog: the worker is stopped, ``BACKLOG`` payments are made, the worker is killed and started again by whoever supervises the stack. It
reads on from the position in the database. Each batch is one transaction, and every event carries the beginning of its own: what was
credited per second is all but the last batch, divided by the time from the first batch's beginning to the last one's. The whole time from
the kill to the last event is reported too; it includes starting the worker and the seconds until Temporal gives the dead one up.

Latency: one payment a second, each in a ledger of its own, counted from the moment the sandbox is told to close the ledger until the
event is at a subscriber of `GET /events`. So it includes the closing, the payments stream, the credit and the relay.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bench.failure import BenchFailure
from bench.latency import Latency
from bench.ledgers import closed_by_hand
from bench.market import Market
from bench.stack import Stack
from bench.subscription import Received, subscribed
from bench.target import Target

AMOUNT = "1.00"
BACKLOG = 2_000
PAYING_AT_ONCE = 16
# Between payment and close: time enough to be queued for this ledger.
QUEUED_S = 0.5
RESTART_LIMIT_S = 30.0
BACKLOG_LIMIT_S = 180.0
EVENT_LIMIT_S = 10.0
POLL_S = 0.1


@dataclass(frozen=True)
class Backlog:
    """``recovered_s`` is from the worker's end to the last event."""

    payments: int
    batches: int
    per_second: float
    recovered_s: float


@dataclass(frozen=True)
class Deposits:
    """``since_close`` is the latency of single deposits at a ledger per second."""

    since_close: Latency
    backlog: Backlog


async def measure_latency(api: Target, market: Market, count: int) -> Latency:
    closed_at: dict[str, float] = {}
    async with subscribed(api, "balance.credited", _transaction_hash) as subscription, closed_by_hand(market.sandbox) as clock:
        began = time.monotonic()
        for number in range(count):
            paying = asyncio.create_task(market.deposit(number, AMOUNT))
            await asyncio.sleep(QUEUED_S)
            told_at = await clock.close()
            closed_at[await paying] = told_at
            await asyncio.sleep(max(0.0, began + number + 1 - time.monotonic()))
        await subscription.all_of(closed_at.keys(), EVENT_LIMIT_S)
    return Latency.of([subscription.received[paid].at - moment for paid, moment in closed_at.items()])


async def measure_backlog(api: Target, market: Market, under_test: Stack, count: int = BACKLOG) -> Backlog:
    """The worker's process is another one afterwards."""
    worker = under_test.pids.get("worker")
    if worker is None:
        raise BenchFailure("stack.json names no worker to stop")
    async with subscribed(api, "balance.credited", _transaction_hash) as subscription:
        os.killpg(worker, signal.SIGSTOP)
        try:
            numbers = iter(range(count))
            paid = {paid for some in await asyncio.gather(*(_pay(market, numbers) for _ in range(PAYING_AT_ONCE))) for paid in some}
        finally:
            os.killpg(worker, signal.SIGKILL)
        if early := paid & subscription.received.keys():
            raise BenchFailure(f"{len(early)} deposits were credited while the worker was stopped; another one runs")
        killed_at = time.time()
        await _until_restarted(under_test, worker)
        await subscription.all_of(paid, BACKLOG_LIMIT_S)
    return _backlog([subscription.received[one] for one in paid], killed_at)


def _backlog(credited: Sequence[Received], killed_at: float) -> Backlog:
    batches = Counter(received.occurred_at for received in credited)
    first, last = min(batches), max(batches)
    if len(batches) == 1:
        raise BenchFailure(f"{len(credited)} payments are one batch: too few to tell a speed")
    return Backlog(
        payments=len(credited),
        batches=len(batches),
        per_second=round((len(credited) - batches[last]) / (last - first), 1),
        recovered_s=round(max(received.at for received in credited) - killed_at, 1),
    )


async def _pay(market: Market, numbers: Iterator[int]) -> list[str]:
    return [await market.deposit(number, AMOUNT) for number in numbers]


async def _until_restarted(under_test: Stack, killed: int) -> None:
    until = time.monotonic() + RESTART_LIMIT_S
    while under_test.as_described_now().pids.get("worker", killed) == killed:
        if time.monotonic() > until:
            raise BenchFailure(f"nobody started the worker again within {RESTART_LIMIT_S:g} s")
        await asyncio.sleep(POLL_S)


def _transaction_hash(event: dict[str, Any]) -> str:
    """Each of these payments is a transaction of its own; events without a hash are not of the chain."""
    return str(event["payload"].get("transactionHash"))
