"""Comparing two things that move: a figure of the books counts only if it was the same before and after the chain was read."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from offerhub.stellar.horizon import HorizonUnavailable
from offerhub.storage.snapshots import Booked

Seen = TypeVar("Seen")
Books = Callable[[list[str]], Awaitable[Mapping[str, Booked]]]
PAUSES_S = (0.3, 0.7, 1.5, 3.0)
PATIENCE_S = (0.5, 1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Compared(Generic[Seen]):
    """``booked`` and ``seen`` as of one moment. ``is_settled`` is false while nobody can say whether they differ."""

    booked: Booked
    seen: Seen
    agrees: bool
    is_settled: bool


@dataclass(frozen=True)
class Side(Generic[Seen]):
    """How to read the books again, how to read the chain, and what amount the chain's answer stands for."""

    books: Books
    chain: Callable[[Sequence[Booked]], Awaitable[Mapping[str, Seen]]]
    amount: Callable[[Seen], int]


async def compare(first: Sequence[Booked], side: Side[Seen]) -> list[Compared[Seen]]:
    """Compare each; what differs or moves is looked at again, a little later each time.

    Still different on the last look: settled if the books stood still around it and nothing of it is in flight.
    """
    done = await look(first, side)
    for pause_s in PAUSES_S:
        differing = [identity for identity, one in done.items() if not one.agrees]
        if not differing:
            break
        await asyncio.sleep(pause_s)
        done |= await look(list((await side.books(differing)).values()), side)
    return [done[one.id] for one in first]


async def look(before: Sequence[Booked], side: Side[Seen]) -> dict[str, Compared[Seen]]:
    """Once: the chain between two readings of the books."""
    seen = await side.chain(before)
    after = await side.books([one.id for one in before])
    return {one.id: _judge(one, seen[one.id], after.get(one.id), side) for one in before}


def _judge(before: Booked, seen: Seen, after: Booked | None, side: Side[Seen]) -> Compared[Seen]:
    stood_still = after is not None and after.stroops == before.stroops
    agrees = stood_still and side.amount(seen) == before.stroops
    in_motion = before.in_motion or (after is not None and after.in_motion)
    return Compared(before, seen, agrees, agrees or (stood_still and not in_motion))


async def patiently(ask: Callable[[], Awaitable[Seen]], pauses_s: Sequence[float] = PATIENCE_S) -> Seen:
    """A page has many questions; a passing fault of one of them is waited out instead of starting the page again."""
    for pause_s in pauses_s:
        try:
            return await ask()
        except HorizonUnavailable as away:
            await asyncio.sleep(min(away.retry_after_s or pause_s, pauses_s[-1]))
    return await ask()
