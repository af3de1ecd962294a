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
PAUSES_S = (0.0, 0.3, 0.7, 1.5, 3.0)
_PATIENCE_S = (0.5, 1.0, 2.0, 4.0, 8.0)


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
    """Compare each; what differs or moves is read again, a little later each time.

    Still different on the last look: settled if the books stood still around it and nothing of it is in flight.
    """
    done: dict[str, Compared[Seen]] = {}
    waiting = list(first)
    for pause_s in PAUSES_S:
        if not waiting:
            break
        await asyncio.sleep(pause_s)
        before = waiting if pause_s == 0 else list((await side.books([one.id for one in waiting])).values())
        seen = await side.chain(before)
        after = await side.books([one.id for one in before])
        for one in before:
            now = after.get(one.id)
            stood_still = now is not None and now.stroops == one.stroops
            agrees = stood_still and side.amount(seen[one.id]) == one.stroops
            in_motion = one.in_motion or (now is not None and now.in_motion)
            done[one.id] = Compared(one, seen[one.id], agrees, agrees or (stood_still and not in_motion))
        waiting = [one for one in before if not done[one.id].agrees]
    return [done[one.id] for one in first]


async def patiently(ask: Callable[[], Awaitable[Seen]]) -> Seen:
    """A page has many questions; a passing fault of one of them is waited out instead of starting the page again."""
    for pause_s in _PATIENCE_S:
        try:
            return await ask()
        except HorizonUnavailable as away:
            await asyncio.sleep(away.retry_after_s or pause_s)
    return await ask()
