"""The unit of work: one transaction per command, and the only place that commits.

Events, audit entries and messages to workflows are collected during the command and written in one statement just before the
commit, so that a command cannot commit without them. After the commit the readers are nudged; a lost nudge costs a poll interval.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, cast

import orjson
import psycopg
from psycopg import AsyncConnection
from psycopg.errors import NotNullViolation
from sqlalchemy import TextClause, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import OperationalError as NoConnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from offerhub.domain.context import Context
from offerhub.domain.events import Event
from offerhub.domain.ids import ENTROPY_BYTES, compose_id
from offerhub.domain.redaction import redact
from offerhub.storage.session import Row, Session, open_session

Nudge = Callable[[frozenset[str]], Awaitable[None]]
# No connection, a connection lost, a lock not had in time, a deadlock: nothing is wrong with what was asked; asking again is safe.
DATABASE_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, NoConnectionError, PoolTimeoutError)
EVENTS_WRITTEN = "events"
MESSAGES_WRITTEN = "messages"
# Messages of this priority only keep the operators' view fresh; nobody is woken for them.
BACKGROUND_PRIORITY = 9
# Fields of an audit entry that hold a user's id.
_NAMING_A_USER = ("userId", "buyerId", "sellerId")

_FLUSH = text(
    """
    WITH written_events AS (
        INSERT INTO events (id, type, aggregate_type, aggregate_id, user_ids, payload, metadata, occurred_at)
        SELECT id, type, aggregate_type, aggregate_id, user_ids, payload, metadata, :now
        FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS e(
            id text, type text, aggregate_type text, aggregate_id text, user_ids text[], payload jsonb, metadata jsonb)
    ), written_audit AS (
        INSERT INTO audit_log (id, action, resource_type, resource_id, actor_id, user_ids, before, after, correlation_id, occurred_at)
        SELECT id, action, resource_type, resource_id, :actor_id, user_ids, before, after, :correlation_id, :now
        FROM jsonb_to_recordset(CAST(:audit AS jsonb)) AS a(
            id text, action text, resource_type text, resource_id text, user_ids text[], before jsonb, after jsonb)
    ), written_messages AS (
        INSERT INTO workflow_messages (priority, workflow, workflow_id, signal, payload, created_at)
        SELECT priority, workflow, workflow_id, signal, payload, :now
        FROM jsonb_to_recordset(CAST(:messages AS jsonb)) AS m(
            priority smallint, workflow text, workflow_id text, signal text, payload jsonb)
    )
    INSERT INTO idempotency_keys (caller_id, key, method, path, body_hash, status, response, operation_id, created_at, expires_at)
    SELECT caller_id, key, method, path, body_hash, status, response, operation_id, :now, :now + make_interval(hours => hours)
    FROM jsonb_to_recordset(CAST(:answers AS jsonb)) AS k(
        caller_id text, key text, method text, path text, body_hash text, status smallint, response jsonb, operation_id text, hours integer)
    -- An answer is replaced once it has expired. Before that its status would become null, which the column refuses.
    ON CONFLICT (caller_id, key) DO UPDATE
    SET method = excluded.method, path = excluded.path, body_hash = excluded.body_hash,
        status = CASE WHEN idempotency_keys.expires_at <= excluded.created_at THEN excluded.status END,
        response = excluded.response, operation_id = excluded.operation_id,
        created_at = excluded.created_at, expires_at = excluded.expires_at
    """
)


class AnswerStoredError(Exception):
    """Another transaction has stored an answer for the same idempotency key."""


def new_id(prefix: str) -> str:
    """A fresh id that sorts by creation time."""
    return compose_id(prefix, time.time_ns() // 1_000_000, os.urandom(ENTROPY_BYTES))


@dataclass(frozen=True)
class WorkflowMessage:
    """One row of the outbox: signal ``workflow_id``, starting it if it does not run. Lower priority numbers go first."""

    workflow: str
    workflow_id: str
    signal: str
    payload: Mapping[str, Any]
    priority: int


@dataclass(frozen=True)
class StoredAnswer:
    """The answer a repeated request with the same idempotency key gets; ``operation_id`` while it is only a promise."""

    caller_id: str
    key: str
    method: str
    path: str
    body_hash: str
    status: int
    response: Mapping[str, Any]
    operation_id: str | None
    hours: int


@dataclass
class Transaction:
    """What a command works with. Everything done through it commits together or not at all."""

    session: Session
    context: Context
    now: datetime
    _events: list[dict[str, Any]] = field(default_factory=list)
    _audit: list[dict[str, Any]] = field(default_factory=list)
    _messages: list[dict[str, Any]] = field(default_factory=list)
    _answers: list[dict[str, Any]] = field(default_factory=list)

    async def rows(self, statement: TextClause, /, **values: object) -> list[Row]:
        return await self.session.rows(statement, values)

    async def first(self, statement: TextClause, /, **values: object) -> Row | None:
        found = await self.session.rows(statement, values)
        return found[0] if found else None

    async def run(self, statement: TextClause, /, **values: object) -> int:
        """Execute a change and return the number of rows it touched."""
        return await self.session.run(statement, values)

    def send(self, statement: TextClause, /, **values: object) -> None:
        """Execute it with the next statement or the commit; for what is known to work, or fails loudly if it does not."""
        self.session.send(statement, values)

    def emit(self, event: Event) -> None:
        metadata = {
            "correlationId": self.context.correlation_id,
            "causationId": self.context.causation_id,
            "userId": event.user_ids[0] if event.user_ids else None,
            "operationId": self.context.operation_id,
            "workflowId": self.context.workflow_id,
        }
        self._events.append(
            {
                "id": new_id("evt"),
                "type": event.type,
                "aggregate_type": event.aggregate_type,
                "aggregate_id": event.aggregate_id,
                "user_ids": list(event.user_ids),
                "payload": dict(event.payload),
                "metadata": metadata,
            }
        )

    def audit(self, action: str, resource: tuple[str, str], before: Mapping[str, Any] | None, after: Mapping[str, Any] | None) -> None:
        """Record who changed what; ``resource`` is (type, id). Secrets are taken out and e-mail addresses masked, yet never pass secrets.

        The entry belongs to the users it names and to those whom an event of the same transaction tells of the resource.
        """
        row = {"id": new_id("aud"), "action": action, "resource_type": resource[0], "resource_id": resource[1]}
        named = {facts[name] for facts in (before, after) if facts for name in _NAMING_A_USER if facts.get(name)}
        users = named | {resource[1]} if resource[0] == "user" else named
        self._audit.append({**row, "user_ids": users, "before": redact("", before), "after": redact("", after)})

    def tell_workflow(self, message: WorkflowMessage) -> None:
        row = {"priority": message.priority, "workflow": message.workflow, "workflow_id": message.workflow_id}
        self._messages.append({**row, "signal": message.signal, "payload": dict(message.payload)})

    def store_answer(self, answer: StoredAnswer) -> None:
        self._answers.append({**vars(answer), "response": dict(answer.response)})

    def flush(self) -> frozenset[str]:
        """Send what was collected; returns what readers should be told after the commit."""
        if not (self._events or self._audit or self._messages or self._answers):
            return frozenset()
        told = {emitted["aggregate_id"]: emitted["user_ids"] for emitted in self._events}
        audit = [{**row, "user_ids": sorted(row["user_ids"].union(told.get(row["resource_id"], ())))} for row in self._audit]
        self.send(
            _FLUSH,
            now=self.now,
            actor_id=self.context.actor_id,
            correlation_id=self.context.correlation_id,
            events=_json(self._events),
            audit=_json(audit),
            messages=_json(self._messages),
            answers=_json(self._answers),
        )
        urgent = any(message["priority"] < BACKGROUND_PRIORITY for message in self._messages)
        return frozenset(({EVENTS_WRITTEN} if self._events else set()) | ({MESSAGES_WRITTEN} if urgent else set()))


class Database:
    """The connection pool. ``nudge`` is told after each commit what kinds of rows were written; it must not raise."""

    def __init__(self, url: str, nudge: Nudge | None = None, pool_size: int = 10) -> None:
        self.engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+psycopg://", 1),
            # Who wants a transaction begins one; a single read needs none.
            isolation_level="AUTOCOMMIT",
            pool_size=pool_size,
            # A connection beyond the pool would be opened and closed for every use.
            max_overflow=0,
            pool_timeout=10,
            # A session leaves nothing behind that would have to be undone.
            pool_reset_on_return=None,
            # Errors name the statement, not the values: they end up in logs.
            hide_parameters=True,
            json_serializer=lambda value: orjson.dumps(value).decode(),
            json_deserializer=orjson.loads,
        )
        self._nudge = nudge
        event.listen(self.engine.sync_engine, "connect", _prepare_connection)

    @asynccontextmanager
    async def transaction(self, context: Context) -> AsyncIterator[Transaction]:
        """Commit when the block ends, roll back when it raises. Raises ``AnswerStoredError``."""
        async with self._session() as session:
            session.begin()
            transaction = Transaction(session, context, datetime.now(UTC))
            yield transaction
            written = transaction.flush()
            try:
                await session.commit()
            except NotNullViolation as refused:
                if refused.diag.table_name == "idempotency_keys":
                    raise AnswerStoredError from None
                raise
        if self._nudge is not None and written:
            await self._nudge(written)

    @asynccontextmanager
    async def rehearsal(self, context: Context) -> AsyncIterator[Transaction]:
        """Everything a command checks; of what it would write nobody sees anything: rolled back whatever happens."""
        async with self._session() as session:
            session.begin()
            yield Transaction(session, context, datetime.now(UTC))

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Transaction]:
        """Read without writing: each statement sees the newest committed state."""
        async with self._session() as session:
            yield Transaction(session, _READER, datetime.now(UTC))

    async def close(self) -> None:
        await self.engine.dispose()

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        """The pool is SQLAlchemy's, its connections are used past it."""
        taken = await self.engine.raw_connection()
        connection = cast("AsyncConnection[Any]", taken.driver_connection)
        try:
            async with open_session(connection, taken.info) as session:
                yield session
        finally:
            if connection.closed:
                # A server that went away took the others' connections too.
                await greenlet_spawn(taken.invalidate)
                await self.engine.dispose()
            else:
                taken.close()


_READER = Context(actor_id="reader", correlation_id="")


def _prepare_connection(connection: DBAPIConnection, _record: object) -> None:
    # A command that waits longer than this for a row has met a stuck neighbour; it fails and is tried again.
    # What is read is in memory, or on a disk that seeks for nothing: an index is worth its while on small tables too.
    cursor = connection.cursor()
    cursor.execute(
        "SET lock_timeout = '5s'; SET idle_in_transaction_session_timeout = '30s'; SET timezone = 'UTC'; SET random_page_cost = 1.1"
    )
    cursor.close()
    connection.commit()


def _json(rows: list[dict[str, Any]]) -> str:
    return orjson.dumps(rows).decode()


def database_failure(error: Exception) -> str | None:
    """One sentence for operators when PostgreSQL is away or overloaded; None when the error is none of its failing."""
    if isinstance(error, PoolTimeoutError):
        return "All database connections are in use."
    if isinstance(error, DATABASE_AWAY):
        reason = str(getattr(error, "orig", error)).strip()
        return f"PostgreSQL does not answer: {reason.splitlines()[0] if reason else 'connection lost'}"
    return None
