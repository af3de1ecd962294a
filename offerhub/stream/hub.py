"""Fan-out inside a process: one reader of the Redis stream, any number of subscribers and waiters.

Positions have no holes, so the hub knows what it has not seen yet and reads that from PostgreSQL: after a failure of Redis, a
restart of the relay, or a missed entry. Redis decides nothing but the speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from offerhub.storage import events
from offerhub.storage.events import EventFilter, EventRecord
from offerhub.storage.unit_of_work import Database
from offerhub.stream.envelope import matches, unpack
from offerhub.stream.relay import BATCH, EVENT_FIELD, STREAM
from offerhub.stream.stopping import told_to_stop
from offerhub.telemetry.logs import get_logger

QUEUE_EVENTS = 1_000
# A busy reader takes what has gathered in one go: writing it costs little more than writing one.
TAKEN_AT_ONCE = 100
_BLOCK_MS = 1_000
_REDIS_AWAY_POLL_S = 0.2
_RETRY_S = 1.0
_log = get_logger(__name__)


@dataclass(eq=False)
class Subscription:
    """What one reader has not taken yet. ``ended`` is set when nothing more will come: ``overrun`` (too slow) or the hub stopped.

    ``exhausted`` once he has taken the last of it.
    """

    wanted: EventFilter
    queue: asyncio.Queue[EventRecord | None] = field(default_factory=lambda: asyncio.Queue(QUEUE_EVENTS + 1))
    ended: bool = False
    overrun: bool = False
    exhausted: bool = False

    def offer(self, record: EventRecord) -> None:
        if self.ended or not matches(record, self.wanted):
            return
        if self.queue.qsize() >= QUEUE_EVENTS:
            self.overrun = True
            self.end()
        else:
            self.queue.put_nowait(record)

    def end(self) -> None:
        if not self.ended:
            self.ended = True
            self.queue.put_nowait(None)

    async def take(self, timeout_s: float) -> list[EventRecord]:
        """What has come, as soon as there is anything; empty when the time is over or nothing more will come."""
        try:
            taken = [await asyncio.wait_for(self.queue.get(), timeout_s)]
        except TimeoutError:
            return []
        while len(taken) < TAKEN_AT_ONCE and not self.queue.empty():
            taken.append(self.queue.get_nowait())
        self.exhausted = taken[-1] is None
        return [record for record in taken if record is not None]


@dataclass(eq=False)
class Alarm:
    """Rings when an event is delivered that one of the filters wants; for readers that read PostgreSQL themselves.

    ``rung`` is for the reader to clear, before he looks.
    """

    wanted: tuple[EventFilter, ...]
    rung: asyncio.Event = field(default_factory=asyncio.Event)


class Hub:
    """``start`` before use, ``stop`` ends every subscription and wakes every waiter."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis
        self._subscriptions: set[Subscription] = set()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._alarms: set[Alarm] = set()
        self._position = 0
        self._entry = b"0-0"
        self._reader: asyncio.Task[None] | None = None
        self.stopping = False
        # Set once the hub knows where it begins: what a subscriber reads from PostgreSQL after that joins what the hub delivers.
        self.ready = asyncio.Event()

    def start(self) -> None:
        self._reader = asyncio.create_task(self.run(), name="event hub")

    async def stop(self) -> None:
        self.stopping = True
        self.ready.set()
        for subscription in self._subscriptions:
            subscription.end()
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.set()
        for alarm in self._alarms:
            alarm.rung.set()
        if self._reader is not None:
            self._reader.cancel()
            with suppress(asyncio.CancelledError):
                await self._reader

    @property
    def subscribers(self) -> int:
        return len(self._subscriptions)

    @contextmanager
    def subscribe(self, wanted: EventFilter) -> Iterator[Subscription]:
        """Everything delivered from now on. What was numbered before is in PostgreSQL, for a reader who has waited for ``ready``."""
        subscription = Subscription(wanted, ended=False)
        self._subscriptions.add(subscription)
        if self.stopping:
            subscription.end()
        try:
            yield subscription
        finally:
            self._subscriptions.discard(subscription)

    @contextmanager
    def watch(self, operation_id: str) -> Iterator[asyncio.Event]:
        """An event that is set when something is heard of the operation; clear it before looking again."""
        heard = asyncio.Event()
        waiters = self._waiting.setdefault(operation_id, set())
        waiters.add(heard)
        try:
            yield heard
        finally:
            waiters.discard(heard)
            if not waiters:
                self._waiting.pop(operation_id, None)

    @contextmanager
    def alarm(self, *wanted: EventFilter) -> Iterator[Alarm]:
        """One that rings for all delivered from now on; like subscribers, a reader has waited for ``ready``."""
        alarm = Alarm(wanted)
        self._alarms.add(alarm)
        try:
            yield alarm
        finally:
            self._alarms.discard(alarm)

    async def run(self) -> None:
        """Until canceled."""
        while not told_to_stop():
            try:
                if not self.ready.is_set():
                    await self._begin()
                await self._advance()
            except Exception as error:  # noqa: BLE001 nothing is lost: the position says where to go on
                _log.warning("hub.failed", error=repr(error))
                await asyncio.sleep(_RETRY_S)

    async def _begin(self) -> None:
        # What Redis has by now PostgreSQL has too, unless the database was restored: then it is of events that never happened.
        with suppress(RedisError, OSError):
            newest = await self._redis.xrevrange(STREAM, count=1)
            self._entry = cast("bytes", newest[0][0]) if newest else self._entry
        async with self._database.reading() as transaction:
            self._position = await events.latest_position(transaction)
        self.ready.set()

    async def _advance(self) -> None:
        try:
            answer = await self._redis.xread({STREAM: self._entry}, count=BATCH, block=_BLOCK_MS)
        except (RedisError, OSError):
            await asyncio.sleep(_REDIS_AWAY_POLL_S)
            answer = None
        entries = _entries(answer)
        if not entries:
            await self._catch_up()
        for entry_id, fields in entries:
            record = unpack(fields[EVENT_FIELD])
            if record.position > self._position + 1:
                await self._catch_up()
            else:
                self._deliver(record)
            self._entry = entry_id

    async def _catch_up(self) -> None:
        """Deliver from PostgreSQL whatever is newer than the last position delivered."""
        while True:
            async with self._database.reading() as transaction:
                missed = await events.after(transaction, self._position, EventFilter(), BATCH)
            for record in missed:
                self._deliver(record)
            if len(missed) < BATCH:
                return

    def _deliver(self, record: EventRecord) -> None:
        if record.position <= self._position:
            return
        self._position = record.position
        for subscription in tuple(self._subscriptions):
            subscription.offer(record)
        for alarm in self._alarms:
            if not alarm.rung.is_set() and any(matches(record, wanted) for wanted in alarm.wanted):
                alarm.rung.set()
        for waiter in self._waiting.get(record.metadata.get("operationId") or "", ()):
            waiter.set()


def _entries(answer: object) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """XREAD answers a list of streams in protocol 2 and a mapping in protocol 3."""
    if not answer:
        return []
    if isinstance(answer, dict):
        batches = answer.get(STREAM.encode()) or []
        return [entry for batch in batches for entry in batch]
    assert isinstance(answer, list), "nothing else is an answer to XREAD"
    return list(answer[0][1])
