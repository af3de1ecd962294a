"""Statements on one connection of the pool, as many of them in one round trip as need no answer of their own.

They go past the driver's cursors, to the interface to libpq that it publishes: prepared once per connection and sent together, they take
a third of the API's time. Connecting, waiting, canceling and the conversion of values stay the driver's.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

import psycopg
from psycopg import AsyncConnection
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import InFailedSqlTransaction, error_from_result
from psycopg.pq import ExecStatus, Format, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult
from psycopg.waiting import Ready, Wait
from sqlalchemy import TextClause, text
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

Row = dict[str, Any]
# A statement and the types of its values.
_Key = tuple[bytes, tuple[int, ...]]
# Statements are made once per process; only those beyond this number, of whichever types of values, are parsed each time.
_PREPARED_AT_MOST = 500
_BEGIN, _COMMIT, _ROLLBACK = text("BEGIN"), text("COMMIT"), text("ROLLBACK")
_DIALECT = PGDialect_psycopg(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]


class _Sql(NamedTuple):
    """A statement as the server reads it, and which value stands for $1, $2 and so on."""

    query: bytes
    names: tuple[str, ...]
    formats: tuple[PyFormat, ...]


class _Ready(NamedTuple):
    """A statement with its values as they are sent."""

    key: _Key
    values: Sequence[Buffer | None]
    formats: Sequence[Format]


@dataclass
class _Prepared:
    """Names of the statements that a connection has parsed, by text and types; no name is used twice."""

    names: dict[_Key, bytes] = field(default_factory=dict)
    named: int = 0

    def next_name(self) -> bytes:
        self.named += 1
        return b"oh_%d" % self.named


class Session:
    """One task at a time uses it, between ``open_session`` and its end."""

    def __init__(self, connection: AsyncConnection[Any], prepared: _Prepared) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._values = Transformer(connection)
        self._prepared = prepared
        self._queued: list[_Ready] = []

    def send(self, statement: TextClause, values: Mapping[str, object]) -> None:
        """Execute it with the next round trip, before what is asked there. Its failure is raised there too."""
        sql = _sql(statement)
        dumped = self._values.dump_sequence([values[name] for name in sql.names], sql.formats)
        self._queued.append(_Ready((sql.query, self._values.types or ()), dumped, self._values.formats or ()))

    async def rows(self, statement: TextClause, values: Mapping[str, object]) -> list[Row]:
        self.send(statement, values)
        result = await self._round_trip()
        names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
        self._values.set_pgresult(result)
        return self._values.load_rows(0, result.ntuples, lambda row: dict(zip(names, row, strict=True)))

    async def run(self, statement: TextClause, values: Mapping[str, object]) -> int:
        """How many rows it touched."""
        self.send(statement, values)
        return (await self._round_trip()).command_tuples or 0

    def begin(self) -> None:
        self.send(_BEGIN, {})

    async def commit(self) -> None:
        """With what is queued, in one round trip: if any of that fails, nothing is committed."""
        if self._pgconn.transaction_status == TransactionStatus.IDLE and len(self._queued) == 1:
            self._queued.clear()  # begun, and nothing asked
            return
        self.send(_COMMIT, {})
        if (await self._round_trip()).command_status != b"COMMIT":
            raise InFailedSqlTransaction("the transaction had failed before its commit and was rolled back")

    async def undo(self) -> None:
        """Whatever is not committed. The connection is given up if the server does not confirm."""
        self._queued.clear()
        try:
            if self._pgconn.transaction_status != TransactionStatus.IDLE:
                self.send(_ROLLBACK, {})
                await self._round_trip()
            self._pgconn.exit_pipeline_mode()
        except psycopg.Error:
            pass  # the block has failed already, with the same or with what led to it
        finally:
            if not self._connection.closed and self._pgconn.pipeline_status != PipelineStatus.OFF:
                await self._connection.close()

    async def _round_trip(self) -> PGresult:
        """The last statement's result, when all have succeeded."""
        queued, self._queued = self._queued, []
        parsing = {key: self._prepared.next_name() for key in dict.fromkeys(one.key for one in queued) if self._is_new(key)}
        async with self._connection.lock:
            results = await self._connection.wait(self._exchange(queued, parsing))
        # The server keeps what it has parsed, whatever becomes of the rest.
        self._prepared.names |= {
            key: name for (key, name), result in zip(parsing.items(), results, strict=False) if result.status == ExecStatus.COMMAND_OK
        }
        for result in results:
            if result.status in (ExecStatus.FATAL_ERROR, ExecStatus.PIPELINE_ABORTED):
                raise error_from_result(result)
        return results[-1]

    def _exchange(self, queued: Sequence[_Ready], parsing: Mapping[_Key, bytes]) -> PQGen[list[PGresult]]:
        """What the driver waits with: sends everything, and receives up to the end of it."""
        for (query, types), name in parsing.items():
            self._pgconn.send_prepare(name, query, types)
        for one in queued:
            self._execute(one, parsing)
        self._pgconn.pipeline_sync()
        while self._pgconn.flush():
            ready = yield Wait.RW
            # Nothing at all when the driver goes on after a cancellation.
            if ready and ready & Ready.R:
                self._pgconn.consume_input()
        return (yield from _received(self._pgconn))

    def _is_new(self, key: _Key) -> bool:
        return key not in self._prepared.names and len(self._prepared.names) < _PREPARED_AT_MOST

    def _execute(self, one: _Ready, parsing: Mapping[_Key, bytes]) -> None:
        name = self._prepared.names.get(one.key) or parsing.get(one.key)
        if name is None:
            query, types = one.key
            self._pgconn.send_query_params(query, one.values, types, one.formats, Format.TEXT)
        else:
            self._pgconn.send_query_prepared(name, one.values, one.formats, Format.TEXT)


@asynccontextmanager
async def open_session(connection: AsyncConnection[Any], memory: dict[Any, Any]) -> AsyncIterator[Session]:
    """What is not committed when it ends is undone. ``memory`` lives as long as the connection."""
    connection.pgconn.enter_pipeline_mode()
    session = Session(connection, memory.setdefault(Session, _Prepared()))
    try:
        yield session
    finally:
        await session.undo()


def _received(pgconn: PGconn) -> PQGen[list[PGresult]]:
    results: list[PGresult] = []
    ends = 0
    while True:
        while pgconn.is_busy():
            if (yield Wait.R):
                pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            # One between two statements; more of them, and no statement is left that could still be answered.
            ends += 1
            if ends > 1:
                raise psycopg.OperationalError("the connection was lost")
            continue
        ends = 0
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


@cache
def _sql(statement: TextClause) -> _Sql:
    compiled = statement.compile(dialect=_DIALECT)
    names = tuple(compiled.positiontup or ())
    return _Sql(str(compiled).encode(), names, (PyFormat.AUTO,) * len(names))
