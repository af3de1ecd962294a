"""What becomes of the pool's connections when PostgreSQL ends them, and of a transaction that is left half-way."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from offerhub.domain.context import Context
from offerhub.storage.unit_of_work import DATABASE_AWAY, Database, database_failure
from tests.integration.commands.market import Market

CONTEXT = Context("key_x", "req_x")
ONE = text("SELECT pg_sleep(0.05), 1 AS one")
END_ALL = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
ADDED = text("INSERT INTO account_balances (account, balance, updated_at) VALUES ('x', 1, :now) RETURNING account")
FOUND = text("SELECT account FROM account_balances WHERE account = 'x'")


async def read(database: Database) -> int:
    async with database.reading() as reader:
        return len(await reader.rows(ONE))


async def test_connections_that_the_server_ended_cost_one_failure_not_one_each(market: Market, postgres_url: str) -> None:
    assert await asyncio.gather(*(read(market.database) for _ in range(8))) == [1] * 8
    other = Database(postgres_url)
    async with other.reading() as reader:
        assert len(await reader.rows(END_ALL)) >= 8
    await other.close()
    with pytest.raises(DATABASE_AWAY) as lost:
        await read(market.database)
    assert "PostgreSQL does not answer" in str(database_failure(lost.value))
    assert await asyncio.gather(*(read(market.database) for _ in range(8))) == [1] * 8


async def test_a_transaction_that_is_canceled_or_rehearsed_leaves_nothing(market: Market) -> None:
    begun = asyncio.Event()

    async def half() -> None:
        async with market.database.transaction(CONTEXT) as transaction:
            await transaction.run(ADDED, now=transaction.now)
            begun.set()
            await transaction.rows(text("SELECT pg_sleep(30)"))

    running = asyncio.create_task(half())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with market.database.rehearsal(CONTEXT) as rehearsed:
        await rehearsed.run(ADDED, now=rehearsed.now)
        assert await rehearsed.first(FOUND) is not None
    async with market.database.reading() as reader:
        assert await reader.first(FOUND) is None
