"""The event stream: server-sent events with resume, or pages of JSON."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

import orjson
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from api import problems
from api.answers import page
from api.auth import Caller, Scope, Tokens
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import Page
from api.schemas.events import AGGREGATES, Event, EventQuery, listed
from offerhub.storage import events
from offerhub.storage.events import EventFilter, EventRecord
from offerhub.storage.unit_of_work import Transaction
from offerhub.stream.envelope import envelope
from offerhub.stream.hub import Subscription

routes = Routes("Events")
HEARTBEAT_S = 15.0
# How often a stream looks at its key; the keyring remembers one for as long, so all streams of a key share one query.
KEY_LOOK_S = 1.0
# As much is in memory for each reader who is behind.
_REPLAY_PAGE = 200
_HEARTBEAT = b": still here\n\n"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
Found = TypeVar("Found")


@dataclass(frozen=True)
class Start:
    """Where reading begins; ``stale`` when the event asked for is not known."""

    position: int
    stale: bool = False


_ONE_EVENT = 'id: evt_01kg9q1m2n3p4q5r6s7t8v9w0x\nevent: order.funds_reserved\ndata: {"eventId":"evt_01kg9q1m2n3p4q5r6s7t8v9w0x",…}\n\n'
_EVENTS = Documented("Events, as a stream or a list", Page[Event], media={"text/event-stream": _ONE_EVENT})


@routes.get("/events", Scope.READ, _EVENTS, tokens=Tokens.BOUND)
async def get_events(call: CurrentCall, request: Request, query: Annotated[EventQuery, Query()]) -> Response:
    """A stream (`text/event-stream`), or with `Accept: application/json` a page, oldest first.

    The stream goes on after `Last-Event-ID` or `cursor` (an event id or a time), else it begins now. Its `id` is the event's id.
    `event: stale` comes first when that id is not known, `event: overrun` last when the reader is too slow.
    A token bound to a user gets that user's events only.
    """
    wanted = _filter(query, call.caller)
    as_list = "application/json" in request.headers.get("accept", "")
    resume = query.cursor if as_list else request.headers.get("last-event-id") or query.cursor
    async with call.services.database.reading() as reader:
        start = await _start(reader, resume, from_beginning=as_list)
        if as_list:
            if start.stale:
                raise problems.invalid([("cursor", "no such event")])
            found = await events.after(reader, start.position, wanted, query.limit + 1)
            return page(found, query.limit, envelope, "eventId")
    return StreamingResponse(_stream(call, wanted, start), media_type="text/event-stream", headers=_HEADERS)


async def _stream(call: Call, wanted: EventFilter, start: Start) -> AsyncIterator[bytes]:
    """Subscribed before the replay is read, so nothing falls between the two; positions already sent are dropped from the queue."""
    with call.services.hub.subscribe(wanted) as subscription:
        await call.services.hub.ready.wait()
        yield _frame("stale", orjson.dumps({"reason": "unknown event id; the stream begins now"})) if start.stale else _HEARTBEAT
        sent = start.position
        async for records in _replay(call, wanted, start.position):
            sent = records[-1].position
            yield _written(records)
        async for frames in _live(call, subscription, sent):
            yield frames


async def _replay(call: Call, wanted: EventFilter, position: int) -> AsyncIterator[list[EventRecord]]:
    while await _to_its_end(call.services.keyring.still_valid(call.caller)):
        found = await _to_its_end(_page_after(call, wanted, position))
        if found:
            yield found
        if len(found) < _REPLAY_PAGE:
            return
        position = found[-1].position


async def _page_after(call: Call, wanted: EventFilter, position: int) -> list[EventRecord]:
    async with call.services.database.reading() as reader:
        return await events.after(reader, position, wanted, _REPLAY_PAGE)


async def _live(call: Call, subscription: Subscription, sent: int) -> AsyncIterator[bytes]:
    """A stream does not outlive its key."""
    loop = asyncio.get_running_loop()
    next_look, next_beat = loop.time(), loop.time() + HEARTBEAT_S
    while not subscription.exhausted:
        now = loop.time()
        if now >= min(next_look, next_beat):
            if not await _to_its_end(call.services.keyring.still_valid(call.caller)):
                return
            next_look = now + KEY_LOOK_S
        if now >= next_beat:
            next_beat = now + HEARTBEAT_S
            yield _HEARTBEAT
        fresh = [record for record in await subscription.take(min(next_look, next_beat) - now) if record.position > sent]
        if fresh:
            yield _written(fresh)
    if subscription.overrun:
        yield _frame("overrun", orjson.dumps({"reason": "too slow; go on from the last id"}))


async def _to_its_end(query: Coroutine[Any, Any, Found]) -> Found:
    """A reader who leaves cancels his stream, again and again until it is gone; a query so interrupted would cost its connection."""
    return await asyncio.shield(asyncio.ensure_future(query))


async def _start(reader: Transaction, resume: str | None, *, from_beginning: bool) -> Start:
    if not resume:
        return Start(0 if from_beginning else await events.latest_position(reader))
    time = _time(resume)
    if time is not None:
        return Start(await events.position_before(reader, time))
    position = await events.position_of(reader, resume)
    return Start(position) if position is not None else Start(await events.latest_position(reader), stale=True)


def _time(cursor: str) -> datetime | None:
    if cursor.startswith("evt_"):
        return None
    try:
        # An unescaped plus sign of an offset arrives as a space.
        time = datetime.fromisoformat(cursor.replace(" ", "+"))
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _filter(query: EventQuery, caller: Caller) -> EventFilter:
    """A token bound to a user sees his events, whatever else it asks for."""
    if query.user_id is not None:
        caller.require_user(query.user_id)
    aggregates = tuple(AGGREGATES[name.lower()] for name in listed(query.resource_types))
    return EventFilter(listed(query.types), aggregates, query.resource_id, caller.bound_to or query.user_id)


def _written(records: list[EventRecord]) -> bytes:
    return b"".join(_frame(record.type, orjson.dumps(envelope(record)), record.id) for record in records)


def _frame(event: str, data: bytes, event_id: str | None = None) -> bytes:
    head = f"id: {event_id}\nevent: {event}\n" if event_id else f"event: {event}\n"
    return head.encode() + b"data: " + data + b"\n\n"
