"""The event log: numbering committed rows and reading them back in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_RELAY_LOCK = 0x0FFE_0002
_TRY_RELAY = text("SELECT pg_try_advisory_xact_lock(:key) AS locked")
_COLUMNS = "e.id, e.position, e.type, e.aggregate_type, e.aggregate_id, e.user_ids, e.payload, e.metadata, e.occurred_at"
_NUMBER = text(
    f"""
    WITH fresh AS (
        SELECT id, row_number() OVER (ORDER BY inserted) AS place
        FROM (SELECT id, inserted FROM events WHERE position IS NULL ORDER BY inserted LIMIT :limit) AS oldest
    ), top AS (SELECT coalesce(max(position), 0) AS position FROM events)
    UPDATE events e SET position = top.position + fresh.place FROM fresh, top WHERE e.id = fresh.id
    RETURNING {_COLUMNS}
    """  # noqa: S608
)
_AFTER = text(
    f"""
    SELECT {_COLUMNS} FROM events e
    WHERE e.position > :position
      AND (CAST(:types AS text[]) IS NULL OR e.type LIKE ANY(:types))
      AND (CAST(:aggregate_types AS text[]) IS NULL OR e.aggregate_type = ANY(:aggregate_types))
      AND (CAST(:aggregate_id AS text) IS NULL OR e.aggregate_id = :aggregate_id)
      AND (CAST(:user_id AS text) IS NULL OR :user_id = ANY(e.user_ids))
    ORDER BY e.position LIMIT :limit
    """  # noqa: S608
)
_GET = text(f"SELECT {_COLUMNS} FROM events e WHERE e.id = :id AND e.position IS NOT NULL")  # noqa: S608
_POSITION = text("SELECT position FROM events WHERE id = :id")
# Positions follow commits, not times: an event from before the time may come after the first one since.
_FIRST_SINCE = text("SELECT min(position) AS position FROM events WHERE position IS NOT NULL AND occurred_at >= :time")
_LATEST = text("SELECT coalesce(max(position), 0) AS position FROM events")


@dataclass(frozen=True)
class EventRecord:
    """``position`` follows commit order: once a position is visible, no lower one appears later."""

    id: str
    position: int
    type: str
    aggregate_type: str
    aggregate_id: str
    user_ids: list[str]
    payload: dict[str, Any]
    metadata: dict[str, Any]
    occurred_at: datetime


@dataclass(frozen=True)
class EventFilter:
    """``types`` are names or SQL-free patterns such as ``order.*``; empty means all."""

    types: Sequence[str] = field(default=())
    aggregate_types: Sequence[str] = field(default=())
    aggregate_id: str | None = None
    user_id: str | None = None


async def number_committed(transaction: Transaction, limit: int) -> list[EventRecord]:
    """Give the next positions to committed events; empty when there are none or another relay is at work."""
    row = await transaction.first(_TRY_RELAY, key=_RELAY_LOCK)
    if row is None or not row["locked"]:
        return []
    numbered = [EventRecord(**row) for row in await transaction.rows(_NUMBER, limit=limit)]
    return sorted(numbered, key=lambda record: record.position)


async def after(transaction: Transaction, position: int, wanted: EventFilter, limit: int) -> list[EventRecord]:
    rows = await transaction.rows(
        _AFTER,
        position=position,
        types=[_like(name) for name in wanted.types] or None,
        aggregate_types=list(wanted.aggregate_types) or None,
        aggregate_id=wanted.aggregate_id,
        user_id=wanted.user_id,
        limit=limit,
    )
    return [EventRecord(**row) for row in rows]


async def get(transaction: Transaction, event_id: str) -> EventRecord | None:
    row = await transaction.first(_GET, id=event_id)
    return EventRecord(**row) if row else None


async def position_of(transaction: Transaction, event_id: str) -> int | None:
    row = await transaction.first(_POSITION, id=event_id)
    return row["position"] if row else None


async def position_before(transaction: Transaction, time: datetime) -> int:
    """The position after which every event since a time is found; events from shortly before it may be among them."""
    row = await transaction.first(_FIRST_SINCE, time=time)
    if row is None or row["position"] is None:
        return await latest_position(transaction)
    return int(row["position"]) - 1


async def latest_position(transaction: Transaction) -> int:
    row = await transaction.first(_LATEST)
    return int(row["position"]) if row else 0


def _like(pattern: str) -> str:
    escaped = pattern.replace("\\", r"\\").replace("_", r"\_").replace("%", r"\%")
    return escaped.replace("*", "%")
