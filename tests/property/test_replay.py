"""Random lives once more, by clocks that disagree: what is read of the past is what replaying the entries one by one gives."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import invariant, run_state_machine_as_test
from sqlalchemy import Row

from offerhub.storage import replay
from offerhub.storage.ledger import FIGURES, UserBalance
from offerhub.storage.unit_of_work import Transaction
from tests.integration.commands.market import Market
from tests.property.test_ledger_model import MarketLife


@dataclass(frozen=True)
class MarketOfManyClocks(Market):
    """Every command believes in a time of its own, up to two seconds off: a later one often in an earlier time."""

    numbers: count[int] = field(default_factory=count)

    @asynccontextmanager
    async def command(self) -> AsyncIterator[Transaction]:
        async with super().command() as transaction:
            transaction.now += timedelta(milliseconds=next(self.numbers) * 7_919 % 4_001 - 2_000)
            yield transaction


@dataclass(frozen=True)
class Entry:
    posting_id: int
    booked_at: datetime
    user_id: str
    figure: str
    amount: int


class ReplayedLife(MarketLife):
    def __init__(self) -> None:
        super().__init__()
        self.market = MarketOfManyClocks(self.market.database)

    @invariant()
    def the_past_is_what_the_entries_say(self) -> None:
        if self.users:
            self.do(self._compare)

    async def _compare(self) -> None:
        entries = await self._entries()
        async with self.market.database.reading() as reader:
            for user in self.users:
                own = [entry for entry in entries if entry.user_id == user.id]
                times = sorted({entry.booked_at for entry in own})
                for moment in [*times[-2:], None]:
                    found = await replay.replay(reader, user.id, moment, shown=2)
                    assert found is not None
                    assert replace(found.balance, updated_at=None) == _sum_up(own, moment)
                    assert min(getattr(found.balance, figure) for figure in FIGURES) >= 0
                    await _compare_sources(reader, user.id, found)
                assert _sum_up(own, None) == replace(await self.market.books_of(user), updated_at=None)
                if len(times) > 2:
                    await _compare_period(reader, user.id, own, (times[len(times) // 2], times[-1]))

    async def _entries(self) -> list[Entry]:
        """Whose an account is, told by its name and by the rows it belongs to."""
        statement = """
            SELECT p.id, p.created_at, e.amount, split_part(e.account, ':', 1) AS kind, split_part(e.account, ':', 2) AS owner,
                   split_part(e.account, ':', 3) AS part, o.buyer_id, w.user_id
            FROM ledger_entries e JOIN ledger_postings p ON p.id = e.posting_id
            LEFT JOIN escrows s ON 'escrow:' || s.id = e.account LEFT JOIN orders o ON o.id = s.order_id
            LEFT JOIN withdrawals w ON 'transit:' || w.id = e.account
        """
        async with self.market.database.engine.connect() as connection:
            rows = (await connection.exec_driver_sql(statement)).all()
        return [Entry(row.id, row.created_at, *_whose(row), row.amount) for row in rows if row.kind in ("user", "escrow", "transit")]


def _whose(row: Row[Any]) -> tuple[str, str]:
    if row.kind == "user":
        return row.owner, row.part
    return (row.buyer_id, "in_escrow") if row.kind == "escrow" else (row.user_id, "in_transit")


def _balance(figures: Iterable[int]) -> UserBalance:
    available, reserved, in_escrow, in_transit = figures
    return UserBalance(available, reserved, in_escrow, in_transit)


def _sum_up(entries: list[Entry], before: datetime | None) -> UserBalance:
    """In the order they were booked, up to the last one from before the moment."""
    last = max((entry.posting_id for entry in entries if before is None or entry.booked_at < before), default=0)
    counted = [entry for entry in entries if entry.posting_id <= last]
    return _balance(sum(entry.amount for entry in counted if entry.figure == figure) for figure in FIGURES)


async def _compare_sources(reader: Transaction, user_id: str, found: replay.Replay) -> None:
    """What is shown of a figure and what came before it sum up to the figure."""
    shown = {posting_id for source in found.sources.values() for posting_id in source.posting_ids}
    by_id = {posting.id: posting for posting in await replay.postings(reader, user_id, sorted(shown))}
    for figure in FIGURES:
        source = found.sources.get(figure, replay.FigureSource())
        listed = [getattr(by_id[posting_id], figure) for posting_id in source.posting_ids]
        assert source.earlier_stroops + sum(listed) == getattr(found.balance, figure)
        assert len(listed) <= 2
        assert 0 not in listed


async def _compare_period(reader: Transaction, user_id: str, entries: list[Entry], ends: tuple[datetime, datetime]) -> None:
    period = await replay.period(reader, user_id, *ends)
    assert period is not None
    assert (period.opening, period.closing) == (_sum_up(entries, ends[0]), _sum_up(entries, ends[1]))
    postings = await replay.postings(reader, user_id, period.posting_ids)
    assert [posting.id for posting in postings] == list(period.posting_ids)
    running = period.opening
    for posting in postings:
        running = _balance(getattr(running, figure) + getattr(posting, figure) for figure in FIGURES)
        assert min(getattr(running, figure) for figure in FIGURES) >= 0
    assert running == period.closing
    before, after = await replay.replay(reader, user_id, ends[0]), await replay.replay(reader, user_id, ends[1])
    assert before is not None
    assert after is not None
    assert (replace(before.balance, updated_at=None), replace(after.balance, updated_at=None)) == (period.opening, period.closing)


@pytest.mark.timeout(900)
def test_the_past_by_clocks_that_disagree(postgres_url: str) -> None:
    machine = type("ReplayedLifeOnThisDatabase", (ReplayedLife,), {"url": postgres_url})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=6, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)),
    )
