"""The API is killed at every boundary of a request; what is left is nothing, or everything and the answer that a repetition gets."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from devstack import ports
from offerhub.commands.reserve import reserve_order
from offerhub.storage.unit_of_work import Database
from offerhub.storage.users import UserRecord
from tests.e2e.outside import OutsideAccount
from tests.integration.api.conftest import MASTER, settings
from tests.integration.api.dying_api import DIE_AT
from tests.integration.commands.market import Market
from tests.services import SandboxServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[3]
UNIT = 10_000_000
ANSWER_S = 90.0
MOST_BOUNDARIES = 60
# What one request leaves: rows whose number tells whether it happened, and how often.
TRACES = """
SELECT (SELECT count(*) FROM idempotency_keys WHERE key = :key) AS keys,
       (SELECT count(*) FROM audit_log WHERE correlation_id LIKE :request) AS audit_entries,
       (SELECT count(*) FROM events WHERE metadata ->> 'correlationId' LIKE :request) AS events,
       (SELECT count(*) FROM orders) AS orders, (SELECT count(*) FROM withdrawals) AS withdrawals,
       (SELECT count(*) FROM operations) AS operations, (SELECT count(*) FROM workflow_messages) AS messages,
       (SELECT count(*) FROM ledger_entries) AS entries
"""


@dataclass(frozen=True)
class Mortal:
    """An API that dies when a request says so, and is back at once."""

    url: str
    market: Market
    buyer: UserRecord
    seller: UserRecord
    payee: str

    async def ask(self, path: str, body: dict[str, Any] | None, number: int, **headers: str) -> httpx.Response:
        """Until a process is there and PostgreSQL has noticed that the connection of the one before is gone."""
        # The socket of the dead may take another connection before it is closed too.
        not_there = httpx.ConnectError if DIE_AT in headers else httpx.TransportError
        headers = {"Authorization": f"Bearer {MASTER}", "Idempotency-Key": f"key-{number}", "Prefer": "wait=0", **headers}
        until = time.monotonic() + ANSWER_S
        async with httpx.AsyncClient(base_url=self.url, headers=headers, trust_env=False, timeout=ANSWER_S) as client:
            while True:
                with suppress(not_there):
                    answer = await client.post(path, json=body)
                    if answer.json().get("error", {}).get("code") != "IDEMPOTENCY_KEY_IN_PROGRESS":
                        return answer
                assert time.monotonic() < until, "the key is stuck"
                await asyncio.sleep(0.02)

    async def dies(self, path: str, body: dict[str, Any] | None, number: int) -> bool:
        """Whether the request had as many boundaries and so was the end of its process."""
        try:
            answer = await self.ask(path, body, number, **{DIE_AT: str(number), "X-Request-ID": f"dead-{number}-"})
        except (httpx.ReadError, httpx.RemoteProtocolError):
            return True
        assert answer.is_success, answer.text
        return False

    async def traces(self, number: int) -> dict[str, int]:
        async with self.market.database.reading() as reader:
            row = await reader.first(text(TRACES), key=f"key-{number}", request=f"%-{number}-")
        assert row is not None
        return dict(row)


@pytest.fixture
async def mortal(postgres_url: str, redis_url: str, sandbox: SandboxServer) -> AsyncIterator[Mortal]:
    chain = {"horizon_url": sandbox.url, "usdc_issuer": sandbox.environment["USDC_ISSUER"]}
    values = settings(postgres_url, redis_url, port=ports.any_free(), **chain).model_dump()
    environment = {name.upper(): str(value) for name, value in values.items() if name != "wallet_encryption_key"}
    market = Market(Database(postgres_url))
    await market.open()
    payee = await OutsideAccount.open(sandbox)
    command = (sys.executable, "-m", "tests.integration.api.dying_api")
    lives = subprocess.Popen(command, cwd=ROOT, env={**environment, "PATH": os.environ["PATH"]}, start_new_session=True)  # noqa: ASYNC220
    try:
        buyer, seller = await market.user(100_000 * UNIT), await market.user()
        yield Mortal(f"http://127.0.0.1:{values['port']}/api/v1", market, buyer, seller, payee.address)
    finally:
        os.killpg(lives.pid, signal.SIGKILL)
        lives.wait()
        await market.database.close()


Request = tuple[str, dict[str, Any] | None]


async def _order(mortal: Mortal) -> Request:
    return "/orders", {"buyerId": mortal.buyer.id, "sellerId": mortal.seller.id, "amount": "80.00", "title": "A logo"}


async def _order_with_reservation(mortal: Mortal) -> Request:
    path, body = await _order(mortal)
    return path, {**(body or {}), "checkout": "reserve"}


async def _reserve(mortal: Mortal) -> Request:
    return f"/orders/{(await mortal.market.order(mortal.buyer, mortal.seller, 80 * UNIT)).id}/reserve", None


async def _escrow(mortal: Mortal) -> Request:
    order = await mortal.market.order(mortal.buyer, mortal.seller, 80 * UNIT)
    async with mortal.market.command() as transaction:
        await reserve_order(transaction, order.id)
    return f"/orders/{order.id}/escrow", None


async def _withdrawal(mortal: Mortal) -> Request:
    destination = {"destinationType": "crypto", "destinationRef": mortal.payee}
    return "/withdrawals", {"userId": mortal.buyer.id, "amount": "30.00", **destination}


async def _refused_reserve(mortal: Mortal) -> Request:
    """A refusal of the domain is an answer too."""
    return f"/orders/{(await mortal.market.order(mortal.seller, mortal.buyer, 80 * UNIT)).id}/reserve", None


@pytest.mark.parametrize("request_of", [_order, _order_with_reservation, _reserve, _escrow, _withdrawal], ids=lambda made: made.__name__)
async def test_killed_anywhere_it_leaves_nothing_or_all(mortal: Mortal, request_of: Callable[[Mortal], Awaitable[Request]]) -> None:
    left: dict[bool, list[int]] = {True: [], False: []}
    for number in range(1, MOST_BOUNDARIES):
        path, body = await request_of(mortal)
        before = await mortal.traces(number)
        died = await mortal.dies(path, body, number)
        at_death = await mortal.traces(number)
        first = await mortal.ask(path, body, number, **{"X-Request-ID": f"again-{number}-"})
        after = await mortal.traces(number)
        second = await mortal.ask(path, body, number)
        assert first.is_success, first.text
        assert (second.status_code, second.json()) == (first.status_code, first.json())
        assert second.headers["idempotent-replayed"] == "true"
        assert await mortal.traces(number) == after, "a replay leaves no trace"
        assert at_death in (before, after), f"at boundary {number} it left a part of itself"
        assert after["keys"] == 1
        assert after["events"] > 0
        assert after["audit_entries"] > 0
        everything = at_death == after
        assert ("idempotent-replayed" in first.headers) == everything
        if not died:
            break
        left[everything].append(number)
    else:
        raise AssertionError(f"more than {MOST_BOUNDARIES} boundaries")
    assert len(left[False]) >= 3
    assert left[True], "killed after its commit, too"
    assert max(left[False]) < min(left[True]), "there is one commit"
    await mortal.market.assert_books_balance()


async def test_a_refusal_killed_anywhere_is_given_again(mortal: Mortal) -> None:
    for number in range(1, MOST_BOUNDARIES):
        path, body = await _refused_reserve(mortal)
        try:
            await mortal.ask(path, body, number, **{DIE_AT: str(number)})
            died = False
        except (httpx.ReadError, httpx.RemoteProtocolError):
            died = True
        first, second = await mortal.ask(path, body, number), await mortal.ask(path, body, number)
        assert (first.status_code, first.json()["error"]["code"]) == (422, "INSUFFICIENT_FUNDS")
        assert (second.json(), second.headers["idempotent-replayed"]) == (first.json(), "true")
        if not died:
            assert number > 3
            return
    raise AssertionError(f"more than {MOST_BOUNDARIES} boundaries")
