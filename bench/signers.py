"""Escrow contracts deployed per minute, by how many signers the platform has, at a ledger every five seconds.

A deploy's source is one of the platform's signers, and an account has one transaction per ledger: with n signers no more than n escrows
per ledger are possible. All escrows are asked for at once, right after a close; counted until the last one's event is at a subscriber.
Each number of signers has a stack of its own; Trustless Work's request limit is off, as it would be the narrower one.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from bench.cpu import Meter, Usage
from bench.ledgers import closed_every
from bench.market import Market, open_market
from bench.stack import Stack
from bench.subscription import subscribed
from bench.target import Target, expect

LEDGER_S = 5.0
# Signers to escrows: so many that the last, perhaps not full, ledger counts for little.
POOLS = {1: 24, 8: 64}
AMOUNT = "1.00"
IN_BACKGROUND = b"Prefer: respond-async\r\n"
# For each escrow as if its ledger took none but this one.
LIMIT_S = 4 * LEDGER_S


@dataclass(frozen=True)
class Pool:
    """``ledgers`` closed from the first request to the last event; ``possible_per_minute`` is the signers' limit.

    ``usage`` is per escrow.
    """

    signers: int
    escrows: int
    ledger_s: float
    ledgers: int
    per_minute: float
    possible_per_minute: float
    usage: Usage


async def measure(under_test: Stack, signers: int, escrows: int) -> Pool:
    api = Target(under_test.api_url, under_test.api_key)
    market = await open_market(api, Target(under_test.sandbox_url), escrows)
    orders = [await _reserved(api, market, number) for number in range(escrows)]
    meter = Meter(under_test.pids)
    await meter.until_quiet()
    async with (
        subscribed(api, "escrow.created", lambda event: str(event["payload"]["orderId"])) as subscription,
        closed_every(market.sandbox, LEDGER_S) as clock,
    ):
        asked_at, before = time.time(), meter.read()
        await asyncio.gather(*(_ask(api, order) for order in orders))
        await subscription.all_of(set(orders), LIMIT_S * (1 + escrows / signers))
        usage = meter.since(before, escrows)
        done_at = max(subscription.received[order].at for order in orders)
        ledgers = len(clock.closes_between(asked_at, done_at))
    await market.check_books()
    return Pool(
        signers=signers,
        escrows=escrows,
        ledger_s=LEDGER_S,
        ledgers=ledgers,
        per_minute=round(escrows / (done_at - asked_at) * 60, 1),
        possible_per_minute=signers * 60 / LEDGER_S,
        usage=usage,
    )


async def _reserved(api: Target, market: Market, number: int) -> str:
    connection = await api.connect()
    created = expect(await connection.send(api.post("/orders", market.order(number, AMOUNT))), 201)
    order = str(created["data"]["id"])
    await market.carry_out(connection, order, "reserve")
    connection.close()
    return order


async def _ask(api: Target, order: str) -> None:
    connection = await api.connect()
    expect(await connection.send(api.post(f"/orders/{order}/escrow", headers=IN_BACKGROUND)), 202)
    connection.close()
