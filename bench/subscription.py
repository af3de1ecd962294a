"""One subscriber of `GET /events` that notes when each event arrives and keeps nothing else of the stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, NamedTuple

import orjson
from httptools import HttpResponseParser

from bench.failure import BenchFailure
from bench.target import Target

# The answer's head may come a moment before the subscription is in place.
SUBSCRIBING_S = 0.5
POLL_S = 0.05


class Received(NamedTuple):
    """``occurred_at`` is when the transaction began that told the event, cut to the millisecond. Both in seconds since 1970."""

    at: float
    occurred_at: float


Key = Callable[[dict[str, Any]], str]


class Subscription(asyncio.Protocol):
    """``received`` is by what ``key`` makes of an event; of two events with the same key the later one counts."""

    def __init__(self, key: Key) -> None:
        self.received: dict[str, Received] = {}
        self.live = asyncio.get_running_loop().create_future()
        self._key = key
        self._parser = HttpResponseParser(self)
        self._buffer = b""
        self._now = 0.0
        self._ended = ""

    async def all_of(self, keys: AbstractSet[str], limit_s: float) -> None:
        """Return when every one of these has come."""
        until = time.monotonic() + limit_s
        while missing := keys - self.received.keys():
            if self._ended:
                raise BenchFailure(f"the event stream ended: {self._ended}")
            if time.monotonic() > until:
                raise BenchFailure(f"{len(missing)} of {len(keys)} events did not come in {limit_s:g} s, {min(missing)} among them")
            await asyncio.sleep(POLL_S)

    # What asyncio calls.

    def data_received(self, data: bytes) -> None:
        self._now = time.time()
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = str(exc or "closed by the server")
        if not self.live.done():
            self.live.set_exception(BenchFailure(f"no event stream: {self._ended}"))

    # What the parser calls.

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status == 200:
            self.live.set_result(None)
        else:
            self.live.set_exception(BenchFailure(f"GET /events answered {status}"))

    def on_body(self, body: bytes) -> None:
        *messages, self._buffer = (self._buffer + body).replace(b"\r\n", b"\n").split(b"\n\n")
        for message in messages:
            for data in _data_of(message):
                event = orjson.loads(data)
                occurred_at = datetime.fromisoformat(event["occurredAt"]).timestamp()
                self.received[self._key(event)] = Received(self._now, occurred_at)


@asynccontextmanager
async def subscribed(api: Target, event_type: str, key: Key) -> AsyncIterator[Subscription]:
    transport, subscription = await asyncio.get_running_loop().create_connection(lambda: Subscription(key), api.host, api.port)
    try:
        transport.write(api.get(f"/events?types={event_type}", b"Accept: text/event-stream\r\n"))
        await subscription.live
        await asyncio.sleep(SUBSCRIBING_S)
        yield subscription
    finally:
        transport.close()


def _data_of(message: bytes) -> Iterator[bytes]:
    return (line.removeprefix(b"data:").strip() for line in message.split(b"\n") if line.startswith(b"data:"))
