"""Committed audit entries become a chain: in commit order, by one sealer at a time, for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from offerhub.domain.audit import GENESIS, AuditEntry, canonical, verify
from offerhub.domain.context import Context
from offerhub.storage import audit
from offerhub.storage.audit import AuditFilter
from offerhub.storage.unit_of_work import Database
from offerhub.stream import sealer as sealing
from offerhub.stream.sealer import Sealer
from tests.integration.commands.market import Market

ALL = AuditFilter()
SECRET, MAIL = "ohk_test_abc_" + "d" * 64, "ada.lovelace@example.com"


async def written(database: Database, name: str, before_commit: Callable[[], Awaitable[None]] | None = None) -> None:
    async with database.transaction(Context("key_test", f"req_{name}")) as transaction:
        transaction.audit("thing.done", ("thing", name), None, {"name": name})
        if before_commit is not None:
            transaction.flush()
            await transaction.rows(text("SELECT 1"))
            transaction._audit.clear()
            await before_commit()


async def exported(database: Database) -> list[AuditEntry]:
    async with database.reading() as reader:
        head = await audit.head(reader)
        return await audit.chain(reader, ALL, (0, head.sequence), 10_000)


async def test_everything_that_happened_is_one_unbroken_chain(market: Market) -> None:
    buyer, seller = await market.user(100_000_000), await market.user()
    await market.order(buyer, seller, 50_000_000)
    await market.withdraw(buyer, 10_000_000)
    sealer = Sealer(market.database)
    while await sealer.seal_once():
        pass
    entries = await exported(market.database)
    verdict = verify(canonical(entry.document()) for entry in entries)
    assert verdict.faults == ()
    assert verdict.entries == len(entries) > 10
    assert (entries[0].previous_hash, entries[-1].hash) == (GENESIS, verdict.last_hash)
    async with market.database.reading() as reader:
        rows = await reader.rows(
            text("SELECT (SELECT count(*) FROM audit_log) AS logged, (SELECT count(*) FROM audit_unsealed) AS waiting")
        )
    assert (rows[0]["logged"], rows[0]["waiting"]) == (len(entries), 0)
    about_the_order = [entry for entry in entries if entry.resource_type == "order"]
    assert [sorted(entry.user_ids) for entry in about_the_order] == [sorted([buyer.id, seller.id])]


async def test_sealing_follows_commits_and_waits_for_nobody(market: Market) -> None:
    """The first to write commits last; what is committed meanwhile is sealed before it, and it is not lost."""
    sealer = Sealer(market.database)
    while await sealer.seal_once():
        pass
    start = len(await exported(market.database))

    async def meanwhile() -> None:
        await written(market.database, "second")
        assert await sealer.seal_once() == 1

    await written(market.database, "first", meanwhile)
    assert await sealer.seal_once() == 1
    assert [entry.resource_id for entry in (await exported(market.database))[start:]] == ["second", "first"]


async def test_many_writers_and_many_sealers_make_one_chain(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "_IDLE_POLL_S", 0.001)
    monkeypatch.setattr(sealing, "BATCH", 7)
    other = Database(str(market.database.engine.url.render_as_string(hide_password=False)).replace("+psycopg", ""))
    sealers = [asyncio.create_task(Sealer(database).run()) for database in (market.database, other, other)]
    await asyncio.gather(*(written(market.database, f"w{number}") for number in range(150)))
    async with asyncio.timeout(120):
        while len([entry for entry in await exported(other) if entry.resource_type == "thing"]) < 150:  # noqa: ASYNC110 other tasks seal
            await asyncio.sleep(0.02)
    for sealer in sealers:
        sealer.cancel()
    await asyncio.gather(*sealers, return_exceptions=True)
    entries = await exported(other)
    assert verify(canonical(entry.document()) for entry in entries).faults == ()
    assert len({entry.id for entry in entries}) == len(entries)
    await other.close()


@pytest.mark.parametrize("table", ["audit_log", "audit_chain"])
@pytest.mark.parametrize("change", ["UPDATE {} SET {} = {}", "DELETE FROM {}", "TRUNCATE {} CASCADE"])
async def test_nothing_of_it_can_be_changed(market: Market, table: str, change: str) -> None:
    await Sealer(market.database).seal_once()
    column = {"audit_log": "actor_id", "audit_chain": "hash"}[table]
    async with market.database.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.exec_driver_sql(change.format(table, column, column))


@pytest.mark.parametrize("change", ["position = NULL", "position = 1, type = 'x'", "payload = '{}'", "position = 1, inserted = DEFAULT"])
async def test_an_event_gets_its_position_once_and_nothing_else(market: Market, change: str) -> None:
    await market.user()
    only = "WHERE id = (SELECT min(id) FROM events)"
    async with market.database.engine.connect() as connection:
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.exec_driver_sql(f"UPDATE events SET {change} {only}")  # noqa: S608
        await connection.exec_driver_sql(f"UPDATE events SET position = 1 {only}")  # noqa: S608
        with pytest.raises(DBAPIError, match="append-only"):
            await connection.exec_driver_sql(f"UPDATE events SET position = 2 {only}")  # noqa: S608


async def test_the_verifier_finds_what_a_superuser_changed(market: Market) -> None:
    await market.user()
    await Sealer(market.database).seal_once()
    async with market.database.engine.connect() as connection:
        await connection.exec_driver_sql("ALTER TABLE audit_log DISABLE TRIGGER append_only")
        await connection.exec_driver_sql("UPDATE audit_log SET actor_id = 'key_other' WHERE action = 'user.created'")
        await connection.commit()
    [fault] = verify(canonical(entry.document()) for entry in await exported(market.database)).faults
    assert "its content is not what was sealed" in fault


async def test_secrets_and_addresses_stay_out(market: Market) -> None:
    async with market.command() as transaction:
        before = {"email": MAIL, "apiKey": SECRET, "seed": "S" + "A" * 55}
        transaction.audit("user.updated", ("user", "usr_1"), before, {"note": f"call {MAIL}, key {SECRET}", "type": "BUYER"})
    async with market.database.reading() as reader:
        [entry] = await audit.page(reader, AuditFilter(action="user.updated"), None, 10)
    assert (entry.before, entry.user_ids) == ({"email": "a***@example.com", "apiKey": "[redacted]", "seed": "[redacted]"}, ["usr_1"])
    assert entry.after == {"note": "call a***@example.com, key [redacted]", "type": "BUYER"}


async def test_the_head_is_told_outside(market: Market) -> None:
    sealer = Sealer(market.database, head_every_s=0)
    assert await sealer.seal_once()
    async with market.database.reading() as reader:
        head = await audit.head(reader)
        rows = await reader.rows(text("SELECT payload FROM events WHERE type = 'audit.head'"))
    assert [row["payload"] for row in rows] == [{"sequence": str(head.sequence), "hash": head.hash}]
    assert await sealer.seal_once() == 0, "telling it writes no entry"
    quiet = Sealer(market.database)
    await written(market.database, "later")
    assert await quiet.seal_once() == 1
    async with market.database.reading() as reader:
        assert len(await reader.rows(text("SELECT 1 FROM events WHERE type = 'audit.head'"))) == 1
