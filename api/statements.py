"""Statements: everything that changed a user's balance in a period, as JSON or as a table for a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
from fastapi import Query, Request, Response
from fastapi.responses import StreamingResponse

from api import present
from api.auth import Scope, Tokens
from api.call import CurrentCall
from api.csv_lines import csv_line
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.balances import Statement, StatementQuery
from api.users import no_such_user
from offerhub.domain.errors import DomainError, ErrorCode, LedgerMismatchError
from offerhub.domain.times import iso
from offerhub.storage import replay
from offerhub.storage.ledger import UserBalance
from offerhub.storage.replay import Period, UserPosting
from offerhub.storage.unit_of_work import Database

routes = Routes("Balances")
MOST_ENTRIES = 100_000
_PAGE = 1_000
_ERRORS = (ErrorCode.USER_NOT_FOUND, ErrorCode.LIMIT_EXCEEDED)
_FACTS = ("bookedAt", "kind", "orderId", "clientOrderRef", "counterparty", "transactionHash", "reference")
_FIGURES = ("available", "reserved", "inEscrow", "inTransit", "total")
_COLUMNS = ("line", *_FACTS, *(f"{figure}Change" for figure in _FIGURES), *_FIGURES)
_CSV_EXAMPLE = csv_line(_COLUMNS).decode()
_STATEMENT = Documented("A user's statement", One[Statement], errors=_ERRORS, media={"text/csv": _CSV_EXAMPLE})


@dataclass(frozen=True)
class _Line:
    """One posting, and the balance after it."""

    posting: UserPosting
    balance: UserBalance


@routes.get("/users/{user_id}/statement", Scope.READ, _STATEMENT, tokens=Tokens.BOUND)
async def get_statement(call: CurrentCall, request: Request, user_id: str, query: Annotated[StatementQuery, Query()]) -> Response:
    """JSON, or CSV with `Accept: text/csv` or `format=csv`: the opening balance, what changed it in order, the closing balance.

    A period with more than 100,000 entries is refused; ask for shorter ones: the closing balance of one is the opening balance of the next.
    """
    async with call.services.database.reading() as reader:
        period = await replay.period(reader, user_id, query.start, query.until)
    if period is None:
        raise no_such_user(user_id)
    if len(period.posting_ids) > MOST_ENTRIES:
        message = f"The period has {len(period.posting_ids)} entries, a statement at most {MOST_ENTRIES}; choose a shorter one."
        raise DomainError(ErrorCode.LIMIT_EXCEEDED, message, {"limit": str(MOST_ENTRIES)})
    until = query.until or datetime.now(UTC)
    lines = _lines(call.services.database, user_id, period)
    if query.format == "csv" or (query.format is None and "text/csv" in request.headers.get("accept", "")):
        headers = {"Content-Disposition": f'attachment; filename="statement-{_file_name(user_id)}.csv"'}
        return StreamingResponse(_as_csv(period, lines), media_type="text/csv", headers=headers)
    head = {"userId": user_id, "from": iso(query.start), "to": iso(until), "opening": present.figures(period.opening)}
    return StreamingResponse(_as_json(head, period, lines), media_type="application/json")


async def _lines(database: Database, user_id: str, period: Period) -> AsyncIterator[list[_Line]]:
    """Page by page. No connection is held while the reader takes his time: postings do not change."""
    running = period.opening
    for first in range(0, len(period.posting_ids), _PAGE):
        async with database.reading() as reader:
            postings = await replay.postings(reader, user_id, period.posting_ids[first : first + _PAGE])
        page: list[_Line] = []
        for posting in postings:
            running = _after(running, posting)
            page.append(_Line(posting, running))
        yield page
    if replace(running, updated_at=None) != replace(period.closing, updated_at=None):
        # Breaks the answer off: a statement that does not add up must not look complete.
        raise LedgerMismatchError(f"the statement of {user_id} ends with {running}, the entries sum up to {period.closing}")


def _after(balance: UserBalance, posting: UserPosting) -> UserBalance:
    return UserBalance(
        balance.available + posting.available,
        balance.reserved + posting.reserved,
        balance.in_escrow + posting.in_escrow,
        balance.in_transit + posting.in_transit,
    )


async def _as_json(head: dict[str, Any], period: Period, lines: AsyncIterator[list[_Line]]) -> AsyncIterator[bytes]:
    yield b'{"success":true,"data":' + orjson.dumps(head)[:-1] + b',"entries":['
    is_first = True
    async for page in lines:
        yield (b"" if is_first else b",") + b",".join(orjson.dumps(_entry(line)) for line in page)
        is_first = False
    yield b'],"closing":' + orjson.dumps(present.figures(period.closing)) + b"}}"


async def _as_csv(period: Period, lines: AsyncIterator[list[_Line]]) -> AsyncIterator[bytes]:
    empty = [""] * (len(_COLUMNS) - len(_FIGURES) - 1)
    yield csv_line(_COLUMNS) + csv_line(("opening", *empty, *_shown(present.figures(period.opening))))
    async for page in lines:
        yield b"".join(csv_line(_row(_entry(line))) for line in page)
    yield csv_line(("closing", *empty, *_shown(present.figures(period.closing))))


def _entry(line: _Line) -> dict[str, Any]:
    change = present.figures(_after(_NOTHING, line.posting))
    del change["currency"]
    return {**present.posting(line.posting), "change": change, "balance": present.figures(line.balance)}


_NOTHING = UserBalance(0, 0, 0, 0)


def _row(entry: dict[str, Any]) -> Sequence[str | None]:
    return ("entry", *(entry[name] for name in _FACTS), *_shown(entry["change"]), *_shown(entry["balance"]))


def _shown(figures: dict[str, Any]) -> list[str]:
    return [figures[name] for name in _FIGURES]


def _file_name(user_id: str) -> str:
    return re.sub(r"[^0-9A-Za-z_-]", "", user_id)
