"""Money from the chain is credited once; users get wallets from the stock, or as soon as there are some."""

from __future__ import annotations

import pytest
from psycopg import Error, IntegrityError
from sqlalchemy import text

from offerhub.commands.deposits import book_payments
from offerhub.commands.users import CreateUser, create_user
from offerhub.commands.wallets import begin_activation, book_activation, record_wallets
from offerhub.domain.errors import DomainError, ErrorCode, LedgerMismatchError
from offerhub.domain.ledger import Entry, Posting, available, reserve, reserved
from offerhub.domain.payments import IncomingPayment
from offerhub.storage import deposits, ledger, users
from offerhub.storage.deposits import DepositFilter
from tests.integration.commands.market import PLATFORM, Market, wallet


async def test_the_same_chain_operation_is_credited_once(market: Market) -> None:
    user = await market.user()
    assert [await market.deposit(user, 5, chain_operation="77"), await market.deposit(user, 5, chain_operation="77")] == [1, 0]
    assert await market.balance(user) == (5, 0, 0)


async def test_another_issuers_usdc_is_recorded_and_not_credited(market: Market) -> None:
    user = await market.user()
    await market.deposit(user, 5, asset="USDC:GFAKE")
    assert await market.balance(user) == (0, 0, 0)
    async with market.database.reading() as reader:
        [refused] = await deposits.page(reader, DepositFilter(user_id=user.id), None, 10)
    assert (refused.status, refused.asset) == ("REFUSED", "USDC:GFAKE")


async def test_a_payment_between_our_wallets_is_not_a_deposit(market: Market) -> None:
    one, other = await market.user(), await market.user()
    async with market.command() as transaction:
        payment = IncomingPayment("9", 0, "h", str(one.public_key), str(other.public_key), 5, "USDC", transaction.now)
        assert await book_payments(transaction, [payment], "9") == 0
    assert await market.balance(other) == (0, 0, 0)


async def test_a_payment_of_the_platforms_own_account_is_booked_by_who_made_it(market: Market) -> None:
    """A compensation: seen by the stream before or after it is booked, it is no deposit."""
    user = await market.user()
    async with market.command() as transaction:
        payment = IncomingPayment("90", 0, "h", PLATFORM, str(user.public_key), 5, "USDC", transaction.now)
        assert await book_payments(transaction, [payment], "90") == 0
    assert await market.balance(user) == (0, 0, 0)


async def test_users_beyond_the_stock_get_the_next_ready_wallets_in_order(market: Market) -> None:
    served = [await market.user() for _ in range(4)]
    waiting = [await market.user() for _ in range(2)]
    assert all(user.public_key for user in served)
    assert [user.public_key for user in waiting] == [None, None]
    made = [wallet(), wallet(), wallet()]
    async with market.command() as transaction:
        await record_wallets(transaction, made)
        batch = await begin_activation(transaction)
        stock = await book_activation(transaction, [entry.public_key for entry in batch])
    given = {(await market.refreshed(user)).public_key for user in waiting}
    assert len(given) == 2
    assert given < {entry.public_key for entry in made}
    assert (stock.ready, stock.waiting_users) == (1, 0)


async def test_the_same_external_user_is_refused_with_his_id(market: Market) -> None:
    user = await market.user()
    with pytest.raises(DomainError) as refusal:
        async with market.command() as transaction:
            await create_user(transaction, CreateUser(user.external_user_id))
    assert refusal.value.code is ErrorCode.USER_ALREADY_EXISTS
    assert refusal.value.details["userId"] == user.id


async def test_the_database_refuses_to_take_more_than_an_account_holds(market: Market) -> None:
    user = await market.user(5)
    with pytest.raises(IntegrityError, match="account_not_negative"):
        async with market.command() as transaction:
            await ledger.post(transaction, reserve("ord_x", user.id, 6))
    assert await market.balance(user) == (5, 0, 0)


async def test_the_database_refuses_a_posting_that_does_not_balance(market: Market) -> None:
    user = await market.user(5)
    crooked = Posting("x", "y", (Entry("world:stellar", -1), Entry(f"user:{user.id}:available", 1)))
    object.__setattr__(crooked, "entries", (Entry("world:stellar", -1), Entry(f"user:{user.id}:available", 2)))
    with pytest.raises(Error, match="does not balance"):
        async with market.command() as transaction:
            await ledger.post(transaction, crooked)


@pytest.mark.parametrize("accounts", [("world:stellar", "escrow:unknown"), ("escrow:unknown", "escrow:other")], ids=["one", "all"])
async def test_a_posting_on_accounts_that_were_never_opened_is_not_booked_and_not_taken_for_booked(
    market: Market, accounts: tuple[str, str]
) -> None:
    source, target = accounts
    with pytest.raises(LedgerMismatchError, match="never opened"):
        async with market.command() as transaction:
            await ledger.post(transaction, Posting("x", "y", (Entry(source, -1), Entry(target, 1))))
    async with market.database.reading() as reader:
        assert await reader.first(text("SELECT 1 FROM ledger_postings")) is None


@pytest.mark.parametrize("table", ["ledger_entries", "ledger_postings", "events", "audit_log"])
@pytest.mark.parametrize("change", ["UPDATE {} SET id = id", "DELETE FROM {}"])
async def test_what_was_written_stays(market: Market, table: str, change: str) -> None:
    await market.user(5)
    with pytest.raises(Error, match=r"append-only|can only be updated to DEFAULT"):
        async with market.command() as transaction:
            await transaction.run(text(change.format(table)))


async def test_no_entry_can_be_added_to_a_posting_that_balances(market: Market) -> None:
    await market.user(5)
    with pytest.raises(Error, match="does not balance"):
        async with market.command() as transaction:
            await transaction.run(
                text("INSERT INTO ledger_entries (posting_id, account, amount) SELECT max(id), 'world\\:stellar', 7 FROM ledger_postings")
            )


async def test_what_is_booked_already_fails_on_locked_accounts_too(market: Market) -> None:
    user = await market.user(10)
    posting = reserve("ord_x", user.id, 4)
    assert await _post_on_locked(market, user.id, posting) == [6, 4]
    with pytest.raises(IntegrityError, match="reference_kind"):
        await _post_on_locked(market, user.id, posting)
    with pytest.raises(IntegrityError, match="account_not_negative"):
        await _post_on_locked(market, user.id, reserve("ord_y", user.id, 7))
    assert await market.balance(user) == (6, 4, 0)


async def _post_on_locked(market: Market, user_id: str, posting: Posting) -> list[int]:
    async with market.command() as transaction:
        purse = await users.lock_purse(transaction, user_id)
        transaction.audit("order.funds_reserved", ("order", posting.reference), None, {"userId": user_id})
        held = {available(user_id): purse.available, reserved(user_id): purse.reserved}
        return list(ledger.post_on_locked(transaction, posting, held).values())
