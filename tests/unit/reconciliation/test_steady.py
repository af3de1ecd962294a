"""When books and chain that differ are called different: only while neither moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, repeat

import pytest

from offerhub.reconciliation import steady
from offerhub.reconciliation.steady import Compared, Side, compare
from offerhub.storage.snapshots import Booked

AT_REST, IN_FLIGHT = False, True


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "PAUSES_S", (0.0, 0.0))


async def compared(booked: Iterator[tuple[int, bool]], seen: Iterator[int]) -> Compared[int]:
    """``booked`` and ``seen`` are what one reading after the other finds."""

    def read() -> Booked:
        stroops, in_motion = next(booked)
        return Booked("wal_1", "G1", stroops, in_motion)

    async def books(_: list[str]) -> Mapping[str, Booked]:
        return {"wal_1": read()}

    async def ledger(_: Sequence[Booked]) -> Mapping[str, int]:
        return {"wal_1": next(seen)}

    [found] = await compare([read()], Side(books, ledger, int))
    return found


async def test_what_stands_still_and_differs_differs() -> None:
    found = await compared(repeat((5, AT_REST)), repeat(7))
    assert (found.agrees, found.is_settled, found.booked.stroops, found.seen) == (False, True, 5, 7)


async def test_what_has_work_in_flight_is_not_judged() -> None:
    found = await compared(repeat((5, IN_FLIGHT)), repeat(7))
    assert (found.agrees, found.is_settled) == (False, False)


async def test_what_the_books_changed_while_the_chain_was_read_is_not_judged() -> None:
    found = await compared(((number, AT_REST) for number in range(100)), repeat(7_000))
    assert (found.agrees, found.is_settled) == (False, False)


async def test_what_agrees_before_the_last_look_agrees() -> None:
    found = await compared(repeat((7, IN_FLIGHT)), chain((5,), repeat(7)))
    assert (found.agrees, found.is_settled) == (True, True)


async def test_figures_that_were_never_true_at_one_moment_do_not_agree() -> None:
    """The chain shows what the books said before, and they say something else by now."""
    found = await compared(((number, AT_REST) for number in range(100)), iter((0, 2, 4)))
    assert not found.agrees
