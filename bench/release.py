"""What a release takes beyond its ledgers, at a ledger every five seconds.

A release is several transactions, each of which needs the one before to be in a ledger. With n of them (the operation's transaction hashes
tell how many) it cannot be done before the n-th close after the request came: that time, from the request to this close, is what it
**needed**. **Added** is the rest of the time until its answer: the answer itself, and in full every ledger that a transaction was too late
for. Closes are counted from the moment the sandbox is told to close, so added includes the closing.

``AT_ONCE`` releases of distinct users run side by side. A release asked for just before a close misses it, one asked for just after does
not: the requests are spread evenly over the interval, so that the average is that of requests which come at any moment.
Not measured: Trustless Work's own slowness and limits.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.failure import BenchFailure
from bench.latency import Latency
from bench.ledgers import HandClock, closed_every
from bench.market import Market
from bench.target import Target, expect

LEDGER_S = 5.0
AT_ONCE = 8
ROUNDS = 3
AMOUNT = "10.00"
BEFORE = ("reserve", "escrow", "escrow/fund")


@dataclass(frozen=True)
class Releases:
    """``ledgers_missed`` closed during all the releases beyond those they needed."""

    count: int
    at_once: int
    ledger_s: float
    transactions: int
    needed: Latency
    whole: Latency
    added: Latency
    added_mean_s: float
    added_percent: float
    ledgers_missed: int


@dataclass(frozen=True)
class _Release:
    transactions: int
    needed_s: float
    whole_s: float
    ledgers_missed: int

    @property
    def added_s(self) -> float:
        return self.whole_s - self.needed_s


async def measure(api: Target, market: Market) -> Releases:
    done: list[_Release] = []
    for round_number in range(ROUNDS):
        numbers = range(round_number * AT_ONCE, (round_number + 1) * AT_ONCE)
        orders = await asyncio.gather(*(_funded(api, market, number) for number in numbers))
        async with closed_every(market.sandbox, LEDGER_S) as clock:
            shares = [(place + (round_number + 0.5) / ROUNDS) / AT_ONCE for place in range(AT_ONCE)]
            asked = [_release(api, market, clock, order, share * LEDGER_S) for order, share in zip(orders, shares, strict=True)]
            done += await asyncio.gather(*asked)
    return _figures(done)


def _figures(done: list[_Release]) -> Releases:
    added_s, needed_s = sum(release.added_s for release in done), sum(release.needed_s for release in done)
    return Releases(
        count=len(done),
        at_once=AT_ONCE,
        ledger_s=LEDGER_S,
        transactions=max(release.transactions for release in done),
        needed=Latency.of([release.needed_s for release in done]),
        whole=Latency.of([release.whole_s for release in done]),
        added=Latency.of([release.added_s for release in done]),
        added_mean_s=round(added_s / len(done), 2),
        added_percent=round(100 * added_s / needed_s, 1),
        ledgers_missed=sum(release.ledgers_missed for release in done),
    )


async def _funded(api: Target, market: Market, number: int) -> str:
    connection = await api.connect()
    created = expect(await connection.send(api.post("/orders", market.order(number, AMOUNT))), 201)
    order = str(created["data"]["id"])
    for verb in BEFORE:
        await market.carry_out(connection, order, verb)
    connection.close()
    return order


async def _release(api: Target, market: Market, clock: HandClock, order: str, after_close_s: float) -> _Release:
    connection = await api.connect()
    await asyncio.sleep(clock.closed_at[0] + after_close_s - time.time())
    asked_at = time.time()
    await market.release(connection, order)
    whole_s = time.time() - asked_at
    listed = expect(await connection.send(api.get(f"/operations?resourceId={order}")), 200)["data"]
    connection.close()
    transactions = next(len(operation["transactionHashes"]) for operation in listed if operation["kind"] == "release")
    closes = clock.closes_between(asked_at, asked_at + whole_s)
    if not 0 < transactions <= len(closes):
        raise BenchFailure(f"{order}: a release of {transactions} transactions in {len(closes)} ledgers")
    return _Release(transactions, closes[transactions - 1] - asked_at, whole_s, len(closes) - transactions)
