"""Buyers with money and sellers with wallets, and the question whether all the money is still there.

Each run makes its own users, so that it can be checked to the stroop whatever else the stack holds.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import orjson

from bench.connection import Connection
from bench.failure import BenchFailure
from bench.target import Target, expect

WALLETS_LIMIT_S = 180
DEPOSITS_LIMIT_S = 60
POLL_S = 0.2
FUNDING = "50000.00"
WAIT = b"Prefer: wait=55\r\n"
STROOPS = 10_000_000
_AMOUNT = re.compile(r"(\d+)\.(\d{2,7})", re.ASCII)


@dataclass
class Market:
    """``taken_stroops`` is what releases cost in fees: the only way money leaves these users."""

    api: Target
    sandbox: Target
    buyers: list[str]
    sellers: list[str]
    addresses: dict[str, str] = field(default_factory=dict)
    deposited_stroops: int = field(default=0)
    taken_stroops: int = field(default=0)

    def order(self, number: int, amount: str) -> bytes:
        """The body of an order between the n-th pair, counted round and round, so that neighbours in time share no account."""
        buyer, seller = self.buyers[number % len(self.buyers)], self.sellers[number % len(self.sellers)]
        return orjson.dumps({"buyerId": buyer, "sellerId": seller, "amount": amount, "title": f"Bench order {number}"})

    async def deposit(self, number: int, amount: str) -> str:
        """The faucet pays the n-th buyer, counted round and round; returns the transaction's hash once its ledger has closed."""
        address = self.addresses[self.buyers[number % len(self.buyers)]]
        connection = await self.sandbox.connect()
        body = orjson.dumps({"address": address, "amount": amount})
        paid = expect(await connection.send(self.sandbox.post("/control/faucet", body)), 200)
        connection.close()
        self.deposited_stroops += stroops(amount)
        return str(paid["hash"])

    async def carry_out(self, connection: Connection, order: str, verb: str) -> dict[str, Any]:
        """The order after the verb is done; still running after the longest wait (202) counts as failed."""
        answer = await connection.send(self.api.post(f"/orders/{order}/{verb}", headers=WAIT))
        data: dict[str, Any] = expect(answer, 200, 201)["data"]
        return data

    async def release(self, connection: Connection, order: str) -> None:
        data = await self.carry_out(connection, order, "resolution/release")
        if data["status"] != "CLOSED":
            raise BenchFailure(f"{order} is {data['status']} after its release")
        self.taken_stroops += stroops(data["quote"]["protocolFee"]) + stroops(data["quote"]["platformFee"])

    async def check_books(self) -> None:
        """All users' totals and the fees of the releases make what was deposited, to the stroop."""
        connection = await self.api.connect()
        held = [await _balance(self.api, connection, user) for user in (*self.buyers, *self.sellers)]
        connection.close()
        if sum(held) + self.taken_stroops != self.deposited_stroops:
            found = f"{sum(held)} held + {self.taken_stroops} fees, {self.deposited_stroops} stroops deposited"
            raise BenchFailure(f"the books do not balance: {found}")


async def open_market(api: Target, sandbox: Target, pairs: int) -> Market:
    """Users with ready wallets, buyers funded over the chain by the sandbox's faucet and credited by the deposit stream."""
    run = uuid.uuid4().hex[:12]
    connection = await api.connect()
    users = [await _create_user(api, connection, f"bench-{run}-{number}") for number in range(2 * pairs)]
    connection.close()
    market = Market(api, sandbox, users[:pairs], users[pairs:], await _wait_for_wallets(api, users))
    for number in range(pairs):
        await market.deposit(number, FUNDING)
    await _wait_for_deposits(api, market.buyers)
    return market


def stroops(amount: str) -> int:
    matched = _AMOUNT.fullmatch(amount)
    if matched is None:
        raise BenchFailure(f"not an amount: {amount!r}")
    return int(matched[1]) * STROOPS + int(matched[2].ljust(7, "0"))


async def _create_user(api: Target, connection: Connection, external_id: str) -> str:
    body = orjson.dumps({"externalUserId": external_id, "type": "BOTH"})
    return str(expect(await connection.send(api.post("/users", body)), 201)["data"]["id"])


async def _wait_for_wallets(api: Target, users: list[str]) -> dict[str, str]:
    """More users than the stock has wallets wait for the next ones."""
    addresses: dict[str, str] = {}
    until = time.monotonic() + WALLETS_LIMIT_S
    while missing := [user for user in users if user not in addresses]:
        if time.monotonic() > until:
            raise BenchFailure(f"{len(missing)} of {len(users)} users had no wallet after {WALLETS_LIMIT_S} s")
        connection = await api.connect()
        for user in missing:
            wallet = await _wallet(api, connection, user)
            if wallet.get("status") != "READY":
                break  # the next look starts here
            addresses[user] = wallet["publicKey"]
        connection.close()
        await asyncio.sleep(POLL_S)
    return addresses


async def _wallet(api: Target, connection: Connection, user: str) -> dict[str, Any]:
    return expect(await connection.send(api.get(f"/users/{user}")), 200)["data"].get("wallet") or {}


async def _wait_for_deposits(api: Target, buyers: list[str]) -> None:
    until = time.monotonic() + DEPOSITS_LIMIT_S
    for buyer in buyers:
        connection = await api.connect()
        while await _balance(api, connection, buyer) != stroops(FUNDING):
            if time.monotonic() > until:
                raise BenchFailure(f"the deposits were not credited within {DEPOSITS_LIMIT_S} s")
            await asyncio.sleep(POLL_S)
        connection.close()


async def _balance(api: Target, connection: Connection, user: str) -> int:
    data = expect(await connection.send(api.get(f"/users/{user}/balance")), 200)["data"]
    return stroops(data["total"])
