"""The audit log: who changed what, as pages, or exported for a spreadsheet or for the verifier."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Annotated, Any

from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from api import problems
from api.answers import page
from api.auth import Scope
from api.call import Call, CurrentCall
from api.csv_lines import csv_line
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import Page
from api.schemas.audit import AuditLogEntry, AuditQuery
from offerhub.domain.audit import AuditEntry, canonical
from offerhub.storage import audit
from offerhub.storage.audit import AuditFilter

routes = Routes("Audit")
CSV, NDJSON = "text/csv", "application/x-ndjson"
_EXPORTED_AT_ONCE = 500
_COLUMNS = (
    *("sequence", "id", "occurredAt", "action", "resourceType", "resourceId", "actorId", "userIds"),
    *("before", "after", "correlationId", "previousHash", "hash"),
)
_ONE_ENTRY = '{"action":"user.updated","actorId":"key_01kg9q1m2n3p4q5r6s7t8v9w0x","after":{"status":"SUSPENDED"},…}\n'
_LIST = Documented("Who changed what", Page[AuditLogEntry], media={CSV: csv_line(_COLUMNS).decode(), NDJSON: _ONE_ENTRY})


@routes.get("/audit/logs", Scope.SUPPORT, _LIST)
async def list_audit_logs(call: CurrentCall, request: Request, query: Annotated[AuditQuery, Query()]) -> Response:
    """A page, newest first. With `Accept: application/x-ndjson` or `text/csv` an export: sealed entries only, oldest first, all of them.

    An unfiltered export in `application/x-ndjson` is what `python -m offerhub.audit verify` checks.
    """
    wanted = AuditFilter(query.resource_type, query.resource_id, query.action, query.user_id, query.actor_id, query.since, query.until)
    accepted = request.headers.get("accept", "")
    if NDJSON in accepted:
        return await _exported(call, wanted, query.cursor, NDJSON)
    if CSV in accepted:
        return await _exported(call, wanted, query.cursor, CSV)
    async with call.services.database.reading() as reader:
        found = await audit.page(reader, wanted, query.cursor, query.limit + 1)
    return page(found, query.limit, AuditEntry.document)


async def _exported(call: Call, wanted: AuditFilter, cursor: str | None, media: str) -> Response:
    async with call.services.database.reading() as reader:
        last = (await audit.head(reader)).sequence
        after = await audit.sequence_of(reader, cursor) if cursor else 0
    if after is None:
        raise problems.invalid([("cursor", "no sealed entry of the audit log")])
    lines = _lines(call, wanted, (after, last), _WRITERS[media])
    if media == CSV:
        lines = _headed(lines)
    name = "audit-log.csv" if media == CSV else "audit-log.jsonl"
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return StreamingResponse(lines, media_type=media, headers=headers)


async def _lines(
    call: Call, wanted: AuditFilter, between: tuple[int, int], write: Callable[[Mapping[str, Any]], bytes]
) -> AsyncIterator[bytes]:
    """Up to the entry that was the last when it began; no connection is held while the client reads."""
    after, last = between
    while True:
        async with call.services.database.reading() as reader:
            found = await audit.chain(reader, wanted, (after, last), _EXPORTED_AT_ONCE)
        if found:
            after = found[-1].sequence or last
            yield b"".join(write(entry.document()) for entry in found)
        if len(found) < _EXPORTED_AT_ONCE:
            return


async def _headed(lines: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield csv_line(_COLUMNS)
    async for line in lines:
        yield line


def _csv(document: Mapping[str, Any]) -> bytes:
    flat = {
        **document,
        "userIds": " ".join(document["userIds"]),
        "before": canonical(document["before"]) if document["before"] is not None else None,
        "after": canonical(document["after"]) if document["after"] is not None else None,
    }
    return csv_line(flat[name] for name in _COLUMNS)


def _ndjson(document: Mapping[str, Any]) -> bytes:
    return canonical(document).encode() + b"\n"


_WRITERS: Mapping[str, Callable[[Mapping[str, Any]], bytes]] = {CSV: _csv, NDJSON: _ndjson}
