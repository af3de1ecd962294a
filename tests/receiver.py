"""A marketplace's webhook receiver: a real HTTP server that checks signatures with the public library of Standard Webhooks."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks.webhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        return dict(json.loads(self.body))

    def is_signed_with(self, secret: str) -> bool:
        """As the public library of Standard Webhooks sees it: signature, and a time not more than five minutes off."""
        try:
            Webhook(secret).verify(self.body, self.headers)
        except WebhookVerificationError:
            return False
        return True


@dataclass(frozen=True)
class Reply:
    """``delay_s`` before it is sent; ``headers`` beside those that say its length."""

    status: int = 200
    body: bytes = b"ok"
    delay_s: float = 0.0
    headers: tuple[str, ...] = ()


@dataclass
class Receiver:
    """``reply`` decides about each request; ``took`` are the requests in the order they came."""

    reply: Callable[[Received], Reply] = field(default=lambda _received: Reply())
    took: list[Received] = field(default_factory=list)
    port: int = 0
    connections: int = 0
    _serving: set[asyncio.Task[Any]] = field(default_factory=set)

    def url(self, path: str = "/hooks") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    @property
    def ids(self) -> list[str]:
        return [received.id for received in self.took]

    async def until(self, condition: Callable[[], bool], timeout_s: float = 120.0) -> None:
        async with asyncio.timeout(timeout_s):
            while not condition():  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.01)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                await self._answer(reader, writer)
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
        self._serving.discard(task)

    async def hang_up(self) -> None:
        """End every connection, answered or not."""
        for task in tuple(self._serving):
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode().strip().split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        method, path, _version = first.split(" ")
        received = Received(method, path, headers, body)
        self.took.append(received)
        reply = self.reply(received)
        await asyncio.sleep(reply.delay_s)
        extra = "".join(f"{line}\r\n" for line in reply.headers)
        writer.write(f"HTTP/1.1 {reply.status} Whatever\r\n{extra}Content-Length: {len(reply.body)}\r\n\r\n".encode() + reply.body)
        await writer.drain()


@asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    receiver = Receiver()
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", 0, ssl=tls)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        await receiver.hang_up()
