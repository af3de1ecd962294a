"""One keep-alive HTTP connection that costs next to nothing, so that the load measured is the server's.

Requests are bytes made beforehand; of an answer only status and body are looked at.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

from httptools import HttpResponseParser

from bench.failure import BenchFailure


class Answer(NamedTuple):
    status: int
    body: bytes


class Connection(asyncio.Protocol):
    """One request at a time; the next may be sent when the last is answered."""

    def __init__(self) -> None:
        self._parser = HttpResponseParser(self)
        self._parts: list[bytes] = []
        self._awaited: asyncio.Future[Answer] | None = None
        self._transport: asyncio.Transport | None = None

    @classmethod
    async def open(cls, host: str, port: int) -> Connection:
        _, connection = await asyncio.get_running_loop().create_connection(cls, host, port)
        return connection

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def send(self, request: bytes) -> Answer:
        if self._transport is None or self._transport.is_closing():
            raise BenchFailure("the server closed a keep-alive connection")
        self._awaited = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._awaited

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_exception(BenchFailure(f"the connection broke before the answer: {exc or 'closed by the server'}"))

    # What the parser calls.

    def on_body(self, body: bytes) -> None:
        self._parts.append(body)

    def on_message_complete(self) -> None:
        answer = Answer(self._parser.get_status_code(), b"".join(self._parts))
        self._parts.clear()
        if self._awaited is not None and not self._awaited.done():
            self._awaited.set_result(answer)
