"""Statements that share a round trip succeed or fail together, and whatever fails leaves a connection that works."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from offerhub.domain.context import Context
from offerhub.storage import session
from offerhub.storage.unit_of_work import Database, Transaction
from tests.integration.commands.market import Market

CONTEXT = Context("key_x", "req_x")
OPEN = text("INSERT INTO account_balances (account, balance, updated_at) VALUES (:account, 0, :now)")
OPENED = text("SELECT account FROM account_balances WHERE account LIKE 'x%' ORDER BY account")
ECHO = text("SELECT CAST(:value AS text) AS value")
DIVIDE = text("SELECT 1 / CAST(:value AS integer) AS value")


async def opened(database: Database) -> list[str]:
    async with database.reading() as reader:
        return [row["account"] for row in await reader.rows(OPENED)]


async def echo(transaction: Transaction, value: object) -> object:
    row = await transaction.first(ECHO, value=value)
    return row["value"] if row else None


async def _by_its_own_failure(transaction: Transaction) -> None:
    transaction.send(OPEN, account="x1", now=transaction.now)
    await transaction.first(DIVIDE, value=0)


async def _by_one_sent_with_the_commit(transaction: Transaction) -> None:
    await transaction.run(OPEN, account="x1", now=transaction.now)
    transaction.send(DIVIDE, value=0)


async def _by_one_sent_before_another(transaction: Transaction) -> None:
    transaction.send(DIVIDE, value=0)
    await transaction.run(OPEN, account="x1", now=transaction.now)


@pytest.mark.parametrize("fails", [_by_its_own_failure, _by_one_sent_with_the_commit, _by_one_sent_before_another])
async def test_what_fails_undoes_all(market: Market, fails: Callable[[Transaction], Awaitable[None]]) -> None:
    for _ in range(3):
        with pytest.raises(errors.DivisionByZero):
            async with market.database.transaction(CONTEXT) as transaction:
                await fails(transaction)
        assert await opened(market.database) == []


async def test_what_is_sent_is_there_for_the_next_statement_and_in_its_order(market: Market) -> None:
    async with market.database.transaction(CONTEXT) as transaction:
        transaction.send(OPEN, account="x2", now=transaction.now)
        transaction.send(OPEN, account="x1", now=transaction.now)
        assert [row["account"] for row in await transaction.rows(OPENED)] == ["x1", "x2"]
        transaction.send(text("DELETE FROM account_balances WHERE account = 'x2'"))
    assert await opened(market.database) == ["x1"]


async def test_a_transaction_whose_failure_was_overlooked_says_that_it_was_not_committed(market: Market) -> None:
    with pytest.raises(errors.InFailedSqlTransaction):  # noqa: PT012
        async with market.database.transaction(CONTEXT) as transaction:
            await transaction.run(OPEN, account="x1", now=transaction.now)
            with pytest.raises(errors.DivisionByZero):
                await transaction.first(DIVIDE, value=0)
    assert await opened(market.database) == []


async def test_a_value_that_cannot_be_sent_stops_nothing_else(market: Market) -> None:
    async with market.database.reading() as reader:
        with pytest.raises(psycopg.DataError):
            await echo(reader, "nul \x00")
        assert await echo(reader, "fine") == "fine"


async def test_values_larger_than_any_buffer_and_of_every_type(market: Market) -> None:
    large = "0123456789" * 1_000_000
    async with market.database.reading() as reader:
        assert await echo(reader, large) == large
        assert [await echo(reader, value) for value in (None, True, 7, 70_000, 2**40, "x")] == [None, "true", "7", "70000", str(2**40), "x"]


async def test_beyond_the_prepared_ones_statements_work_all_the_same(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_PREPARED_AT_MOST", 2)
    async with market.database.reading() as reader:
        for _ in range(2):
            assert [await reader.first(text(f"SELECT {number} AS n")) for number in range(5)] == [{"n": number} for number in range(5)]


async def test_what_fails_for_ever_is_parsed_once(market: Market) -> None:
    """The server keeps what it has parsed for as long as the connection lives."""
    for _ in range(30):
        with pytest.raises(errors.DivisionByZero):
            async with market.database.transaction(CONTEXT) as transaction:
                await _by_its_own_failure(transaction)
    async with market.database.reading() as reader:
        parsed = await reader.rows(text("SELECT statement FROM pg_prepared_statements"))
    assert len([row for row in parsed if row["statement"].startswith("SELECT 1 / ")]) == 1
