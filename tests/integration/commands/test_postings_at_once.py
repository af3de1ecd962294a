"""Postings over the same accounts wait for each other; each books on what the one before has left."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.deposits import book_payments
from offerhub.domain.ledger import WORLD_STELLAR, Entry, Posting, available, fund, reserve, reserved
from offerhub.domain.payments import IncomingPayment
from offerhub.storage import ledger, orders
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import Purse
from tests.integration.commands.market import Market

PLANS = ("nothing", "enable_hashjoin", "enable_mergejoin", "enable_nestloop", "enable_seqscan", "enable_indexscan")


@pytest.mark.parametrize("without", PLANS)
@pytest.mark.parametrize("also", ["world:two", "world:four"])
@pytest.mark.parametrize(("source", "target"), [("world:two", "world:three"), ("world:three", "world:two")])
async def test_what_was_changed_meanwhile_is_booked_on(market: Market, source: str, target: str, also: str, without: str) -> None:
    """Whichever way PostgreSQL chooses to carry the statements out: some lose a row that somebody changes while they wait for it."""
    async with market.command() as transaction:
        await ledger.open_accounts(transaction, ["world:one", "world:two", "world:three", "world:four"])
        _audit(transaction)
    async with market.command() as neighbour:
        await ledger.post(neighbour, _posting("first", "world:one", "world:three"))
        _audit(neighbour)
        booking = asyncio.create_task(_book(market, _posting("second", source, target), also, without))
        await _until_somebody_waits(market)
    left = {"world:two": 0, "world:three": 1}
    assert await booking == {also: 0, source: left[source] - 1, target: left[target] + 1}


@pytest.mark.parametrize("without", PLANS)
async def test_a_purse_is_what_somebody_has_left_meanwhile(market: Market, without: str) -> None:
    buyer, seller = await market.user(10), await market.user()
    order = await market.order(buyer, seller, 5)
    async with market.command() as neighbour:
        await ledger.post(neighbour, reserve("ord_x", buyer.id, 4))
        _audit(neighbour)
        looking = asyncio.create_task(_purse(market, order.id, without))
        await _until_somebody_waits(market)
    assert await looking == Purse("ACTIVE", available=6, reserved=4)


async def test_a_funding_takes_its_buyers_accounts_in_the_order_of_everybody_else(market: Market) -> None:
    """Otherwise it holds what he has reserved while it waits for what he has available: a reservation of his does the opposite."""
    user = await market.user(10)
    async with market.command() as transaction:
        await ledger.open_accounts(transaction, ["escrow:esc_x"])
        await ledger.post(transaction, reserve("ord_x", user.id, 4))
        _audit(transaction)
    async with market.command() as neighbour:
        await ledger.lock_balances(neighbour, [available(user.id)])
        booking = asyncio.create_task(_book_funding(market, user.id))
        await _until_somebody_waits(market)
        reserved_free = text("SELECT 1 FROM account_balances WHERE account = :account FOR UPDATE NOWAIT")
        assert await neighbour.first(reserved_free, account=reserved(user.id))
    await booking
    assert await market.balance(user) == (6, 0, 0)
    async with market.database.reading() as reader:
        told = await reader.first(text("SELECT payload FROM events WHERE type = 'balance.debited'"))
    assert told is not None
    assert (told["payload"]["available"], told["payload"]["reserved"]) == ("0.0000006", "0.00")


async def test_deposits_of_several_users_take_their_accounts_before_what_all_share(market: Market) -> None:
    """Otherwise the first holds what the world has given while the second waits for who may be waiting for just that."""
    users = [await market.user(), await market.user()]
    first, second = sorted(users, key=lambda user: user.id)
    async with market.command() as neighbour:
        await ledger.lock_balances(neighbour, [available(second.id)])
        booking = asyncio.create_task(_credit(market, str(first.public_key), str(second.public_key)))
        await _until_somebody_waits(market)
        world_free = text("SELECT 1 FROM account_balances WHERE account = :account FOR UPDATE NOWAIT")
        assert await neighbour.first(world_free, account=WORLD_STELLAR)
    assert await booking == 2
    assert [await market.balance(user) for user in users] == [(5, 0, 0), (5, 0, 0)]


async def _credit(market: Market, *recipients: str) -> int:
    async with market.command() as transaction:
        payments = [
            IncomingPayment(str(number), 0, "h", "GSTRANGER", recipient, 5, "USDC", transaction.now)
            for number, recipient in enumerate(recipients, 100)
        ]
        return await book_payments(transaction, payments, "101")


def _posting(reference: str, source: str, target: str) -> Posting:
    return Posting(reference, "test", (Entry(source, -1), Entry(target, 1)))


def _audit(transaction: Transaction) -> None:
    transaction.audit("order.funds_reserved", ("order", "ord_x"), None, {})


async def _book(market: Market, posting: Posting, also: str, without: str) -> dict[str, int] | None:
    async with market.command() as transaction:
        _audit(transaction)
        await _plan(transaction, without)
        return await ledger.post(transaction, posting, [also])


async def _purse(market: Market, order_id: str, without: str) -> Purse | None:
    async with market.command() as transaction:
        await _plan(transaction, without)
        found = await orders.lock_with_purse(transaction, order_id)
        return found[1] if found else None


async def _plan(transaction: Transaction, without: str) -> None:
    if without != "nothing":
        await transaction.run(text(f"SET LOCAL {without} = off"))


async def _book_funding(market: Market, user_id: str) -> None:
    async with market.command() as transaction:
        await book(transaction, fund("esc_x", user_id, 4, "h"), BalanceChange("balance.debited", user_id, 4, "escrow_funding", "ord_x"))
        transaction.audit("escrow.funded", ("escrow", "esc_x"), None, {"userId": user_id})


async def _until_somebody_waits(market: Market) -> None:
    waiting = text("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
    async with market.database.reading() as reader, asyncio.timeout(60):
        while not await reader.first(waiting):  # noqa: ASYNC110 - PostgreSQL tells nobody
            await asyncio.sleep(0.01)
