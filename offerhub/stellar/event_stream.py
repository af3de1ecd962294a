"""The server-sent events of one connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

MAX_EVENT_BYTES = 1_000_000


@dataclass(frozen=True)
class ServerSentEvent:
    name: str
    data: str


async def read_events(chunks: AsyncIterator[bytes]) -> AsyncIterator[ServerSentEvent]:
    """Yield whole events; one that the connection cut off is dropped. ``ValueError`` above ``MAX_EVENT_BYTES``.

    Lines are split at line feeds only: text splitting would also cut at U+2028, which a memo may contain.
    """
    name, data = "message", list[str]()
    async for line in _lines(chunks):
        if not line:
            if data:
                yield ServerSentEvent(name, "\n".join(data))
            name, data = "message", []
            continue
        field, _, value = line.partition(b":")
        text = value.removeprefix(b" ").decode()
        if field == b"event":
            name = text
        elif field == b"data":
            data.append(text)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    pending = bytearray()
    async for chunk in chunks:
        pending += chunk
        *lines, rest = bytes(pending).split(b"\n")
        for line in lines:
            yield line.removesuffix(b"\r")
        pending = bytearray(rest)
        if len(pending) > MAX_EVENT_BYTES:
            raise ValueError(f"an event of more than {MAX_EVENT_BYTES} bytes")
