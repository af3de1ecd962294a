"""Collections as HAL pages and as event streams."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from sandbox.horizon.answers import hal
from sandbox.horizon.parameters import base_url, page_query
from sandbox.horizon.replica import Replica
from sandbox.horizon.resources import with_links
from sandbox.ledger.history import Collection, PageQuery, Scope
from sandbox.ledger.ledger import Ledger

STREAM_LIFETIME_S = 55.0
_HELLO = b'retry: 1000\nevent: open\ndata: "hello"\n\n'
_BYEBYE = b'retry: 10\nevent: close\ndata: "byebye"\n\n'


@dataclass(frozen=True)
class Reader:
    """The replica behind one request; it takes in ledgers while a stream is open."""

    ledger: Ledger
    newest: Callable[[], int]

    def replica(self) -> Replica:
        return Replica(self.ledger, self.newest())


def collection_response(reader: Reader, request: Request, collection: Collection, scope: Scope) -> Response:
    """A page, or a stream if the client accepts events."""
    query = page_query(request, collection, scope, reader.replica().newest)
    if "text/event-stream" in request.headers.get("accept", ""):
        events = _events(reader, query, base_url(request))
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        return StreamingResponse(events, media_type="text/event-stream; charset=utf-8", headers=headers)
    return _page(reader.replica(), request, query)


def _page(replica: Replica, request: Request, query: PageQuery) -> Response:
    base = base_url(request)
    records = [with_links(query.collection, each, base) for each in replica.page(query)]
    here = f"{base}{request.url.path}"
    cursor = request.query_params.get("cursor", "")
    first = records[0]["paging_token"] if records else cursor
    last = records[-1]["paging_token"] if records else cursor
    order, inverse = ("desc", "asc") if query.descending else ("asc", "desc")

    def link(page_cursor: str, page_order: str) -> dict[str, str]:
        fields = {"cursor": page_cursor, "limit": str(query.limit), "order": page_order}
        if query.join_transactions:
            fields["join"] = "transactions"
        if "include_failed" in request.query_params:
            fields["include_failed"] = request.query_params["include_failed"]
        return {"href": f"{here}?{urlencode(fields)}"}

    document = {
        "_links": {"self": link(cursor, order), "next": link(last, order), "prev": link(first, inverse)},
        "_embedded": {"records": records},
    }
    return hal(document)


async def _events(reader: Reader, query: PageQuery, base: str) -> AsyncIterator[bytes]:
    """Ends after 55 s or ``limit`` events. Between closes it sleeps: an idle stream costs one look-up per ledger."""
    yield _HELLO
    remaining = query.limit
    cursor = query.cursor
    deadline = asyncio.get_running_loop().time() + STREAM_LIFETIME_S
    while True:
        page = query.after(cursor, remaining) if cursor is not None else query
        records = reader.replica().page(page)
        if records:
            yield b"".join(_event(with_links(query.collection, each, base)) for each in records)
            cursor = int(records[-1]["paging_token"])
            remaining -= len(records)
        if remaining <= 0 or query.descending or reader.ledger.ending:
            break
        if cursor is not None and records:
            continue
        try:
            async with asyncio.timeout_at(deadline):
                await reader.ledger.next_close()
        except TimeoutError:
            break
    yield _BYEBYE


def _event(record: dict[str, object]) -> bytes:
    return b"id: " + str(record["paging_token"]).encode() + b"\ndata: " + orjson.dumps(record) + b"\n\n"
