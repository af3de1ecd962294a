"""Disputes, and what the parties and support put on record about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.domain.states import Decision, DisputeState
from offerhub.storage.unit_of_work import Transaction

_COLUMNS = """id, order_id, milestone_index, state, opened_by, reason, description, amount, assigned_to, notes, frozen_hash, decision,
    release_amount, refund_amount, resolution_note, resolved_by, resolution_hash, escalates_at, escalated_at, decides_at, default_decision,
    created_at, updated_at, resolved_at,
    (SELECT m.ref FROM milestones m WHERE m.order_id = disputes.order_id AND m.position = disputes.milestone_index) AS milestone_ref"""
_GET = text(f"SELECT {_COLUMNS} FROM disputes WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM disputes WHERE id = :id FOR UPDATE")  # noqa: S608
_OPEN_OF_ORDER = text(
    f"SELECT {_COLUMNS} FROM disputes WHERE order_id = :order_id AND state IN ('OPEN', 'UNDER_REVIEW', 'RESOLVING') FOR UPDATE"  # noqa: S608
)
_LIST = text(
    f"""
    SELECT {_COLUMNS} FROM disputes
    WHERE (CAST(:cursor AS text) IS NULL OR id < :cursor)
      AND (CAST(:order_id AS text) IS NULL OR order_id = :order_id)
      AND (CAST(:state AS text) IS NULL OR state = :state)
      AND (CAST(:opened_by AS text) IS NULL OR opened_by = :opened_by)
      AND (CAST(:assigned_to AS text) IS NULL OR assigned_to = :assigned_to)
    ORDER BY id DESC LIMIT :limit
    """  # noqa: S608
)
_INSERT = text(
    """
    INSERT INTO disputes (id, order_id, milestone_index, state, opened_by, reason, description, amount, escalates_at, decides_at,
                          default_decision, frozen_hash, created_at, updated_at)
    VALUES (:id, :order_id, :milestone_index, 'OPEN', :opened_by, :reason, :description, :amount, :escalates_at, :decides_at,
            :default_decision, :frozen_hash, :now, :now)
    """
)
_SAVE = text(
    """
    UPDATE disputes SET state = :state, assigned_to = :assigned_to, notes = :notes, frozen_hash = :frozen_hash, decision = :decision,
        release_amount = :release_amount, refund_amount = :refund_amount, resolution_note = :resolution_note, resolved_by = :resolved_by,
        resolution_hash = :resolution_hash, escalated_at = :escalated_at, decides_at = :decides_at,
        resolved_at = :resolved_at, updated_at = :now
    WHERE id = :id
    """
)
_RECORDS = text(
    "SELECT id, dispute_id, kind, author, content, content_hash, created_at FROM dispute_records WHERE dispute_id = :dispute_id ORDER BY id"
)
_INSERT_RECORD = text(
    """
    INSERT INTO dispute_records (id, dispute_id, kind, author, content, content_hash, created_at)
    VALUES (:id, :dispute_id, :kind, :author, CAST(:content AS jsonb), :content_hash, :now)
    """
)
_SAVED = (
    *("id", "state", "assigned_to", "notes", "frozen_hash", "decision", "release_amount", "refund_amount", "resolution_note"),
    *("resolved_by", "resolution_hash", "escalated_at", "decides_at", "resolved_at"),
)
_TIMES = ("escalates_at", "escalated_at", "decides_at", "created_at", "updated_at", "resolved_at")
_OPENED = (
    *("id", "order_id", "milestone_index", "opened_by", "reason", "description", "amount", "escalates_at", "decides_at"),
    *("default_decision", "frozen_hash"),
)


@dataclass(frozen=True)
class DisputeRecord:
    """``amount`` is what a decision distributes, gross; the amounts are stroops. ``frozen_hash``: the contract is frozen on the chain."""

    id: str
    order_id: str
    milestone_index: int | None
    state: DisputeState
    opened_by: str
    reason: str
    description: str | None
    amount: int
    created_at: datetime
    updated_at: datetime
    assigned_to: str | None = None
    notes: str | None = None
    frozen_hash: str | None = None
    decision: Decision | None = None
    release_amount: int | None = None
    refund_amount: int | None = None
    resolution_note: str | None = None
    resolved_by: str | None = None
    resolution_hash: str | None = None
    escalates_at: datetime | None = None
    escalated_at: datetime | None = None
    decides_at: datetime | None = None
    default_decision: Decision | None = None
    resolved_at: datetime | None = None
    milestone_ref: str | None = None


@dataclass(frozen=True)
class DisputeEntry:
    """One piece of evidence or one message, as it was given."""

    id: str
    dispute_id: str
    kind: str
    author: str
    content: dict[str, Any]
    content_hash: str
    created_at: datetime


@dataclass(frozen=True)
class DisputeFilter:
    order_id: str | None = None
    state: str | None = None
    opened_by: str | None = None
    assigned_to: str | None = None


async def get(transaction: Transaction, dispute_id: str) -> DisputeRecord | None:
    row = await transaction.first(_GET, id=dispute_id)
    return _dispute(dict(row)) if row else None


async def lock(transaction: Transaction, dispute_id: str) -> DisputeRecord | None:
    """Locked after its order, always: commands on either never wait for each other in a circle."""
    row = await transaction.first(_LOCK, id=dispute_id)
    return _dispute(dict(row)) if row else None


async def lock_open(transaction: Transaction, order_id: str) -> DisputeRecord | None:
    """The one dispute of an order that is not decided yet."""
    row = await transaction.first(_OPEN_OF_ORDER, order_id=order_id)
    return _dispute(dict(row)) if row else None


async def page(transaction: Transaction, wanted: DisputeFilter, cursor: str | None, limit: int) -> list[DisputeRecord]:
    """Newest first, from after ``cursor``."""
    return [_dispute(dict(row)) for row in await transaction.rows(_LIST, **vars(wanted), cursor=cursor, limit=limit)]


async def insert(transaction: Transaction, dispute: DisputeRecord) -> None:
    await transaction.run(_INSERT, **{name: getattr(dispute, name) for name in _OPENED}, now=transaction.now)


async def save(transaction: Transaction, dispute: DisputeRecord) -> None:
    """Write what may change of a dispute that this transaction has locked."""
    await transaction.run(_SAVE, **{name: getattr(dispute, name) for name in _SAVED}, now=transaction.now)


async def entries(transaction: Transaction, dispute_id: str) -> list[DisputeEntry]:
    """Evidence and messages, oldest first."""
    return [DisputeEntry(**row) for row in await transaction.rows(_RECORDS, dispute_id=dispute_id)]


async def add_entry(transaction: Transaction, entry: DisputeEntry) -> None:
    values = {name: getattr(entry, name) for name in ("id", "dispute_id", "kind", "author", "content_hash")}
    await transaction.run(_INSERT_RECORD, **values, content=orjson.dumps(entry.content).decode(), now=transaction.now)


def from_json(row: dict[str, Any]) -> DisputeRecord:
    """A row that came as JSON, inside of its order's."""
    times = {name: row[name] and datetime.fromisoformat(row[name]) for name in _TIMES}
    return _dispute({**row, **times})


def _dispute(row: dict[str, Any]) -> DisputeRecord:
    row["state"] = DisputeState(row["state"])
    for name in ("decision", "default_decision"):
        row[name] = Decision(row[name]) if row[name] else None
    return DisputeRecord(**row)
