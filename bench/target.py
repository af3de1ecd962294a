"""The API (or the sandbox) as something to send bytes to."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson

from bench.connection import Answer, Connection
from bench.failure import BenchFailure


@dataclass
class Target:
    """``url`` is the root that paths are appended to; ``key`` the API key, none for the sandbox."""

    url: str
    key: str | None = None
    host: str = field(init=False)
    port: int = field(init=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        self._root = parts.path.rstrip("/").encode()
        authorization = f"Authorization: Bearer {self.key}\r\n" if self.key else ""
        self._constant = f"Host: {self.host}:{self.port}\r\n{authorization}".encode()

    async def connect(self) -> Connection:
        return await Connection.open(self.host, self.port)

    def get(self, path: str, headers: bytes = b"") -> bytes:
        return b"GET %b%b HTTP/1.1\r\n%b%b\r\n" % (self._root, path.encode(), self._constant, headers)

    def post(self, path: str, body: bytes = b"", headers: bytes = b"") -> bytes:
        """With an Idempotency-Key of its own, as every client in production sends one."""
        return b"POST %b%b HTTP/1.1\r\n%bIdempotency-Key: %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
            self._root,
            path.encode(),
            self._constant,
            str(uuid.uuid4()).encode(),
            len(body),
            headers,
            body,
        )


def expect(answer: Answer, *statuses: int) -> dict[str, Any]:
    """The parsed body, or the end of the run: figures of requests that failed are no figures."""
    check(answer, *statuses)
    parsed: dict[str, Any] = orjson.loads(answer.body)
    return parsed


def check(answer: Answer, *statuses: int) -> None:
    if answer.status not in statuses:
        wanted = " or ".join(map(str, statuses))
        raise BenchFailure(f"answered {answer.status}, not {wanted}: {answer.body[:500].decode(errors='replace')}")
