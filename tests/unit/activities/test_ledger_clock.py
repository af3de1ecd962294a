"""Ledger time between two readings: never behind a ledger that was seen, and right again after our own clock was set right."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from activities.envelope_check import LedgerClock
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.horizon_records import LedgerRecord
from tests.unit.stellar.offered import NETWORK


@pytest.fixture
async def clock() -> AsyncIterator[LedgerClock]:
    async with httpx.AsyncClient() as client:
        yield LedgerClock(Horizon("http://127.0.0.1:1", NETWORK, client))


def read(clock: LedgerClock, sequence: int, closed_at: int, ours: int) -> int:
    return clock.learn(LedgerRecord(sequence, closed_at), ours, ours)


def test_a_clock_set_right_forgets_the_lead(clock: LedgerClock) -> None:
    assert read(clock, 1, closed_at=1_100, ours=1_000) == 100
    assert read(clock, 2, closed_at=1_106, ours=1_006) == 100
    # NTP puts our clock forward by 100 s; one new ledger later the old readings no longer count.
    assert read(clock, 2, closed_at=1_106, ours=1_110) == 100
    assert read(clock, 3, closed_at=1_115, ours=1_116) <= 6
    assert read(clock, 4, closed_at=1_120, ours=1_122) <= 5


def test_a_lead_is_kept_while_no_ledger_closes(clock: LedgerClock) -> None:
    """The sandbox closes a ledger only when somebody does something: the last one may be minutes old."""
    assert read(clock, 1, closed_at=1_600, ours=1_000) == 600
    for later in range(10, 1_000, 10):
        assert read(clock, 1, closed_at=1_600, ours=1_000 + later) == 600
    # It closed at once after the last reading, and is read late.
    assert read(clock, 2, closed_at=2_590, ours=2_400) == 600


def test_a_network_that_is_put_forward_is_followed_at_once(clock: LedgerClock) -> None:
    assert read(clock, 1, closed_at=1_000, ours=1_000) == 0
    assert read(clock, 2, closed_at=1_605, ours=1_005) == 600
    assert read(clock, 3, closed_at=1_611, ours=1_011) == 600
    assert read(clock, 4, closed_at=2_617, ours=1_017) == 1_600


def test_a_clock_put_back_learns_the_lead_from_the_next_ledger(clock: LedgerClock) -> None:
    assert read(clock, 1, closed_at=1_000, ours=1_000) == 0
    assert read(clock, 2, closed_at=1_006, ours=906) == 100
    assert read(clock, 3, closed_at=1_012, ours=912) == 100


def test_an_old_ledger_never_puts_the_time_back_behind_our_own(clock: LedgerClock) -> None:
    assert read(clock, 1, closed_at=500, ours=1_000) == 0
    assert read(clock, 2, closed_at=1_003, ours=1_006) == 0
