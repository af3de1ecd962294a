"""Where reading goes on: after downtime, behind a lagging replica, over a gap in the history, on a network that started over."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from stellar_sdk import Keypair, Payment
from temporalio.testing import ActivityEnvironment

from activities.failures import WaitingError
from offerhub.commands.deposits import book_payments
from offerhub.domain.payments import IncomingPayment, ledger_of
from offerhub.reconciliation import steady
from offerhub.storage.deposits import DepositRecord
from tests.integration.chain.town import Town

DOWNTIME_DEPOSITS = 1_000


async def test_an_hour_of_downtime_with_a_thousand_deposits(town: Town) -> None:
    payers = [await town.account() for _ in range(2)]
    users = [await town.user() for _ in range(5)]
    for payer in payers:
        await town.faucet(payer.public_key, "100000.00")
    for first in range(0, DOWNTIME_DEPOSITS, 200):
        batches = (_payments(town, users, range(first + 100 * place, first + 100 * place + 100)) for place in range(2))
        await asyncio.gather(*(town.send(payer, *batch) for payer, batch in zip(payers, batches, strict=True)))
    began = time.monotonic()
    await town.read_all()
    took_s = time.monotonic() - began
    found = await town.recorded(status="CREDITED")
    assert sorted(deposit.amount for deposit in found) == list(range(1, DOWNTIME_DEPOSITS + 1))
    told = [event["depositId"] for event in await town.events("balance.credited")]
    in_chain_order = [deposit.id for deposit in sorted(found, key=lambda one: int(one.chain_operation))]
    assert told == in_chain_order
    for number, user in enumerate(users):
        assert (await town.market.balance(user))[0] == sum(range(number + 1, DOWNTIME_DEPOSITS + 1, 5))
    assert took_s < 60, "seconds, not minutes"


async def test_a_reader_killed_again_and_again_credits_everything_once(town: Town) -> None:
    payer, user = await town.account(), await town.user()
    await town.faucet(payer.public_key, "1000.00")
    await town.send(payer, *_payments(town, [user], range(100)))
    for _ in range(12):
        async with town.reading():
            await asyncio.sleep(0.03)
    await town.read_all()
    assert (await town.market.balance(user))[0] == sum(range(1, 101))


async def test_a_gap_in_the_history_stops_the_reader_until_there_is_none(town: Town) -> None:
    user = await town.user()
    await town.read_all()
    await town.faucet(str(user.public_key), "5.00")
    position = ledger_of((await town.stream()).cursor)
    for elder in (position + 1, position + 2):
        town.transport.alter = _says(history_elder_ledger=elder)
        with pytest.raises(WaitingError, match=f"only knows ledgers from {elder} on"):
            await ActivityEnvironment().run(town.deposits().follow_payments)
    assert await town.market.balance(user) == (0, 0, 0)
    [halted] = await town.events("deposits.halted")
    assert f"up to ledger {position}" in halted["reason"]
    async with town.market.database.reading() as reader:
        asked = await reader.rows(text("SELECT workflow FROM workflow_messages WHERE workflow = 'Reconciliation'"))
    assert len(asked) == 1
    town.transport.alter = None
    await town.read_all()
    assert await town.market.balance(user) == (50_000_000, 0, 0)
    assert len(await town.events("deposits.resumed")) == 1
    assert (await town.stream()).halted_reason is None


async def test_a_person_may_go_on_over_a_gap_and_the_missing_money_is_stated(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "PAUSES_S", (0.05,))
    user = await town.user()
    await town.read_all()
    await town.faucet(str(user.public_key), "5.00")
    position = ledger_of((await town.stream()).cursor)
    assert await ActivityEnvironment().run(town.deposits().accept_payments_gap, "anna") == "There is no gap to accept."
    elder = position + 1_000
    town.transport.alter = _says(history_elder_ledger=elder, history_latest_ledger=elder, payments=[])
    with pytest.raises(WaitingError):
        await ActivityEnvironment().run(town.deposits().follow_payments)
    said = await ActivityEnvironment().run(town.deposits().accept_payments_gap, "anna: history is gone for good")
    assert f"from ledger {elder}" in said
    assert ledger_of((await town.stream()).cursor) == elder
    _, findings = await town.reconcile()
    drift = next(one for one in findings if one.kind == "WALLET_DRIFT")
    assert (drift.user_id, drift.expected, drift.found) == (user.id, 0, 50_000_000)
    assert "The payments stream is halted: History gap" in drift.explanation


async def test_a_replica_that_is_behind_is_waited_for_without_an_alarm(town: Town) -> None:
    user = await town.user()
    await town.faucet(str(user.public_key), "5.00")
    await town.read_all()
    await town.faucet(str(user.public_key), "1.00")
    known = ledger_of((await town.stream()).cursor)
    town.transport.alter = _says(history_latest_ledger=known - 5)
    async with town.reading():
        await asyncio.sleep(0.5)
        assert (await town.market.balance(user))[0] == 50_000_000
        town.transport.alter = None
        await town.until(lambda: _has(town, user.id, 60_000_000))
    assert await town.events("deposits.halted") == []


@pytest.mark.parametrize("latest", ["earlier", "another hash"])
async def test_a_network_that_started_over_is_refused(town: Town, latest: str) -> None:
    user = await town.user()
    await town.read_all()
    await town.faucet(str(user.public_key), "5.00")
    await _know_a_late_ledger(town)
    town.transport.alter = _says(history_latest_ledger=3) if latest == "earlier" else _says(hash="ff" * 32)
    with pytest.raises(WaitingError, match="reset"):
        await ActivityEnvironment().run(town.deposits().follow_payments)
    assert len(await town.events("deposits.halted")) == 1
    assert await town.market.balance(user) == (0, 0, 0)


async def test_another_network_is_refused(town: Town) -> None:
    town.transport.alter = _says(network_passphrase="Public Global Stellar Network ; September 2015")
    with pytest.raises(WaitingError, match="not on ours"):
        await ActivityEnvironment().run(town.deposits().follow_payments)


async def test_the_position_never_goes_back(town: Town) -> None:
    user = await town.user()
    async with town.market.command() as transaction:
        ahead, late = str(9_000 << 32), str(8_999 << 32)
        await book_payments(transaction, [], ahead)
        payment = IncomingPayment(late, 0, "ab" * 32, Keypair.random().public_key, str(user.public_key), 5, "USDC", transaction.now)
        assert await book_payments(transaction, [payment], late) == 1
    assert (await town.stream()).cursor == ahead
    assert (await town.market.balance(user))[0] == 5


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("stream_duplicate", {"times": 3}),
        ("stream_cut", {"after": 3, "midEvent": True, "next": 3}),
        ("stream_hang", {"after": 4, "next": 1}),
        ("reorder", {}),
        ("server_error", {"next": 3}),
        ("rate_limited", {"next": 2}),
        ("stale_replica", {"ledgers": 1, "next": 3}),
    ],
)
async def test_whatever_the_stream_does_every_payment_is_credited_once(town: Town, kind: str, fields: dict[str, Any]) -> None:
    payer, user = await town.account(), await town.user()
    await town.faucet(payer.public_key, "1000.00")
    async with town.fault(kind, **{"path": r"^GET /(payments)?$", **fields}), town.reading():
        for first in range(0, 30, 10):
            await town.send(payer, *_payments(town, [user], range(first, first + 10)))
        if kind == "stream_hang":
            await asyncio.sleep(0.2)
        else:
            await town.until(lambda: _has(town, user.id, sum(range(1, 31))))
    await town.read_all()
    assert [deposit.amount for deposit in sorted(await town.recorded(user), key=_place)] == list(range(1, 31))
    assert (await town.market.balance(user))[0] == sum(range(1, 31))


def _place(deposit: DepositRecord) -> int:
    return int(deposit.chain_operation)


def _payments(town: Town, users: list[Any], numbers: range) -> list[Payment]:
    """Of 1, 2, 3, … stroops, so that each is its own."""
    return [Payment(users[n % len(users)].public_key, town.usdc, f"0.{n + 1:07d}") for n in numbers]


def _says(payments: list[Any] | None = None, **fields: Any) -> Any:
    """Horizon's root and ledgers with other words in them; an account's history as given."""

    def alter(request: httpx.Request, document: dict[str, Any]) -> dict[str, Any]:
        path = request.url.path
        if payments is not None and path.endswith("/payments"):
            return {"_embedded": {"records": payments}}
        if path == "/" or path.startswith("/ledgers/"):
            return {**document, **{name: value for name, value in fields.items() if name in document}}
        return document

    return alter


async def _know_a_late_ledger(town: Town) -> None:
    """As if the network had been seen at a ledger far from its beginning."""
    async with httpx.AsyncClient(timeout=60) as client:
        (await client.post(f"{town.sandbox.url}/control/ledger", json={"close": 200})).raise_for_status()
    user = await town.user()
    await town.faucet(str(user.public_key), "0.01")
    last = (await town.payments(1))[0]["paging_token"]
    async with town.market.command() as transaction:
        await book_payments(transaction, [], last)


async def _has(town: Town, user_id: str, amount: int) -> bool:
    async with town.market.database.reading() as reader:
        rows = await reader.rows(text("SELECT balance FROM account_balances WHERE account = :name"), name=f"user:{user_id}:available")
    return bool(rows) and rows[0]["balance"] == amount
