"""One HTTP request in the hands of a fault, and the middleware that hands it over."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sandbox.faults.board import FaultBoard
from sandbox.faults.kind import Occasion, OfRequests, envelope_bytes
from sandbox.ledger.ledger import Ledger
from sandbox.trustless.index import EscrowIndex

CUT_EXTENSION = "sandbox.cut"


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @classmethod
    def of_json(cls, status: int, document: object, headers: dict[str, str] | None = None) -> Answer:
        return cls.of_text(status, orjson.dumps(document), "application/json; charset=utf-8", headers)

    @classmethod
    def of_text(cls, status: int, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> Answer:
        fields = {"content-type": media_type, **(headers or {})}
        return cls(status, body, tuple((name.lower().encode(), value.encode()) for name, value in fields.items()))

    def document(self) -> dict[str, Any]:
        """The body where it is a JSON object, else nothing."""
        try:
            document = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            return {}
        return document if isinstance(document, dict) else {}


@dataclass(frozen=True)
class Surroundings:
    """What a fault may look at beyond the request."""

    ledger: Ledger
    index: EscrowIndex


class Takeover(OfRequests):
    """A kind that takes a request over instead of the network, or between the network and its client."""

    def suits(self, exchange: Exchange) -> bool:  # noqa: ARG002 (kinds that are choosy say so)
        return True

    async def act(self, exchange: Exchange) -> bool:
        """Answer the request in full; False where there was nothing to spoil, so that it does not count."""
        raise NotImplementedError


@dataclass(frozen=True)
class Connection:
    scope: Scope
    receive: Receive
    send: Send


class Exchange:
    def __init__(self, app: ASGIApp, surroundings: Surroundings, connection: Connection) -> None:
        self._app = app
        self._scope = connection.scope
        self._receive = connection.receive
        self._send = connection.send
        self.surroundings = surroundings
        self.body = b""
        self.headers = Headers(scope=connection.scope)

    async def read(self) -> None:
        while True:
            message = await self._receive()
            self.body += message.get("body", b"")
            if not message.get("more_body", False):
                return

    @property
    def is_stream(self) -> bool:
        return "text/event-stream" in self.headers.get("accept", "")

    def request(self) -> Request:
        return Request(self._scope, self._replay())

    def occasion(self) -> Occasion:
        path, query = self._scope["path"], self._scope["query_string"].decode("latin-1")
        body = self.body.decode("latin-1")
        return Occasion(f"{self._scope['method']} {path}", f"{path}?{query}\n{body}", envelope_bytes(self._envelope_xdr(body)))

    def _envelope_xdr(self, body: str) -> str:
        if self.headers.get("content-type", "").startswith("application/json"):
            return str(Answer(200, self.body).document().get("signedXdr", ""))
        return parse_qs(body).get("tx", [""])[0]

    async def pass_through(self) -> None:
        await self._app(self._scope, self._replay(), self._send)

    async def run(self) -> Answer:
        """Let the network do all of it and keep its answer."""
        status, headers, body = 500, (), bytearray()

        async def keep(message: Message) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], tuple(message["headers"])
            else:
                body.extend(message.get("body", b""))

        await self._app(self._scope, self._replay(), keep)
        return Answer(status, bytes(body), headers)

    async def reply(self, answer: Answer) -> None:
        kept = [(name, value) for name, value in answer.headers if name != b"content-length"]
        headers = [*kept, (b"content-length", str(len(answer.body)).encode())]
        await self._send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": answer.body})

    async def relay(self, alter: Callable[[bytes, bool], Awaitable[bytes]]) -> None:
        """Pass a stream on through ``alter(chunk, more)``; it may raise StreamEnd to send nothing any more."""
        silent = False

        async def pass_on(message: Message) -> None:
            nonlocal silent
            if silent:
                return
            if message["type"] != "http.response.body":
                await self._send(message)
                return
            more = message.get("more_body", False)
            try:
                chunk = await alter(message.get("body", b""), more)
            except StreamEnd as end:
                silent = True
                await self._send({"type": "http.response.body", "body": end.last_bytes, "more_body": True})
                if end.cut:
                    self._cut()
                return
            await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

        await self._app(self._scope, self._replay(), pass_on)
        if silent:
            await self._until_the_client_leaves()

    async def drop(self) -> None:
        """Close the connection without a byte."""
        self._cut()
        await self._until_the_client_leaves()

    async def hang(self, seconds: float | None = None) -> None:
        """Say nothing until the client gives up; after ``seconds`` drop the connection."""
        try:
            async with asyncio.timeout(seconds):
                await self._until_the_client_leaves()
        except TimeoutError:
            await self.drop()

    def _cut(self) -> None:
        self._scope["extensions"][CUT_EXTENSION]["close"]()

    async def _until_the_client_leaves(self) -> None:
        """Or the process is told to end: then the connection is closed from here."""
        leaving = asyncio.create_task(self._left())
        ending = asyncio.create_task(self.surroundings.ledger.end())
        try:
            await asyncio.wait({leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not leaving.done():
                self._cut()
                await leaving
        finally:
            leaving.cancel()
            ending.cancel()

    async def _left(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def _replay(self) -> Receive:
        body: bytes | None = self.body

        async def receive() -> Message:
            nonlocal body
            if body is None:
                return await self._receive()
            message = {"type": "http.request", "body": body, "more_body": False}
            body = None
            return message

        return receive


class StreamEnd(Exception):
    """The last bytes of a stream that is then cut, or left hanging."""

    def __init__(self, last_bytes: bytes, *, cut: bool) -> None:
        super().__init__("the stream ends here")
        self.last_bytes = last_bytes
        self.cut = cut


class FaultInjection:
    """Middleware around everything but the control API."""

    def __init__(self, app: ASGIApp, board: FaultBoard, surroundings: Surroundings) -> None:
        self._app = app
        self._board = board
        self._surroundings = surroundings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/control/") or not self._board.any(Takeover):
            await self._app(scope, receive, send)
            return
        exchange = Exchange(self._app, self._surroundings, Connection(scope, receive, send))
        await exchange.read()
        fault = self._board.strike(Takeover, exchange.occasion(), lambda kind: kind.suits(exchange))
        if fault is None:
            await exchange.pass_through()
        elif not await fault.kind.act(exchange):
            self._board.give_back(fault)
