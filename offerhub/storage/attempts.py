"""Signed envelopes and the queue for each source account."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.domain.states import OPEN_ATTEMPT_STATES, AttemptState
from offerhub.storage.unit_of_work import Transaction

_COLUMNS = """id, intent_id, operation_id, step, via, source, sequence, inner_hash, outer_hash, envelope, max_time, contract_id, state,
    submissions, ledger, code, reason, movements, created_at, updated_at"""
_INSERT = text(
    """
    INSERT INTO attempts (id, intent_id, operation_id, step, via, source, sequence, inner_hash, outer_hash, envelope, max_time,
                          contract_id, state, created_at, updated_at)
    VALUES (:id, :intent_id, :operation_id, CAST(:step AS jsonb), :via, :source, :sequence, :inner_hash, :outer_hash, :envelope, :max_time,
            :contract_id, 'SIGNED', :now, :now)
    """
)
_GET = text(f"SELECT {_COLUMNS} FROM attempts WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM attempts WHERE id = :id FOR UPDATE")  # noqa: S608
_BY_INTENT = text(f"SELECT {_COLUMNS} FROM attempts WHERE intent_id = :intent_id ORDER BY id DESC")  # noqa: S608
_OF_OPERATION = text(f"SELECT {_COLUMNS} FROM attempts WHERE operation_id = :operation_id ORDER BY id")  # noqa: S608
_NEWEST_LEDGER = text(
    """
    SELECT coalesce(max(a.ledger), 0) AS ledger FROM attempts a JOIN operations o ON o.id = a.operation_id
    WHERE o.resource_id = :resource_id AND a.state = 'CONFIRMED'
    """
)
_SUBMITTED = text(
    """
    UPDATE attempts SET state = CASE WHEN state = 'SIGNED' THEN 'SUBMITTED' ELSE state END, submissions = submissions + 1, updated_at = :now
    WHERE id = :id AND state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN')
    """
)
_SETTLE = text(
    """
    UPDATE attempts SET state = :state, ledger = :ledger, code = :code, reason = :reason, movements = CAST(:movements AS jsonb),
                        updated_at = :now
    WHERE id = :id
    """
)
_SET_MOVEMENTS = text("UPDATE attempts SET movements = CAST(:movements AS jsonb), updated_at = :now WHERE id = :id")
_LAST_SEQUENCE = text(
    "SELECT max(sequence) AS sequence FROM attempts WHERE source = :source AND (state = 'CONFIRMED' OR (state = 'REJECTED' AND ledger > 0))"
)
_LOCK_SOURCE = text("SELECT 1 FROM wallets WHERE public_key = :source FOR UPDATE")
_ENQUEUE = text(
    """
    INSERT INTO source_leases (source, intent_id, seen_at, created_at) VALUES (:source, :intent_id, :now, :now)
    ON CONFLICT (intent_id) DO UPDATE SET seen_at = excluded.seen_at
    """
)
# A waiter or holder that has not been seen for long and has nothing signed in the open may be passed over; it queues again when it returns.
_DROP_ABSENT = text(
    """
    DELETE FROM source_leases l WHERE l.source = :source AND l.seen_at < :absent_since
      AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.intent_id = l.intent_id AND a.state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN'))
    """
)
_AHEAD = text(
    """
    SELECT count(*) AS ahead FROM source_leases
    WHERE source = :source AND id < (SELECT id FROM source_leases WHERE intent_id = :intent_id)
    """
)
_LEAVE = text("DELETE FROM source_leases WHERE intent_id = :intent_id")
_LEAVE_OPERATION = text(
    """
    DELETE FROM source_leases l WHERE l.intent_id LIKE :operation_id || '/%'
      AND NOT EXISTS (SELECT 1 FROM attempts a WHERE a.intent_id = l.intent_id AND a.state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN'))
    """
)
_HOLDER = text("SELECT intent_id FROM source_leases WHERE source = :source ORDER BY id LIMIT 1")

ABSENCE = timedelta(seconds=60)


@dataclass(frozen=True)
class AttemptRecord:
    """One signed envelope. ``envelope`` is what is posted (the fee bump where there is one); ``step`` is the plan's step or None."""

    id: str
    intent_id: str
    operation_id: str | None
    step: dict[str, Any] | None
    via: str
    source: str
    sequence: int
    inner_hash: str
    outer_hash: str
    envelope: str
    max_time: int
    contract_id: str | None = None
    state: AttemptState = AttemptState.SIGNED
    submissions: int = 0
    ledger: int | None = None
    code: str | None = None
    reason: str | None = None
    movements: list[dict[str, Any]] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_ATTEMPT_STATES


@dataclass(frozen=True)
class Settlement:
    state: AttemptState
    ledger: int | None = None
    code: str | None = None
    reason: str | None = None
    movements: list[dict[str, Any]] = field(default_factory=list)


async def insert(transaction: Transaction, attempt: AttemptRecord) -> None:
    identity = ("id", "intent_id", "operation_id", "via", "source", "sequence")
    values = {name: getattr(attempt, name) for name in (*identity, "inner_hash", "outer_hash", "envelope", "max_time", "contract_id")}
    step = orjson.dumps(attempt.step).decode() if attempt.step else None
    await transaction.run(_INSERT, **values, step=step, now=transaction.now)


async def get(transaction: Transaction, attempt_id: str) -> AttemptRecord | None:
    row = await transaction.first(_GET, id=attempt_id)
    return _attempt(dict(row)) if row else None


async def lock(transaction: Transaction, attempt_id: str) -> AttemptRecord | None:
    row = await transaction.first(_LOCK, id=attempt_id)
    return _attempt(dict(row)) if row else None


async def of_intent(transaction: Transaction, intent_id: str) -> list[AttemptRecord]:
    """Newest first."""
    return [_attempt(dict(row)) for row in await transaction.rows(_BY_INTENT, intent_id=intent_id)]


async def of_operation(transaction: Transaction, operation_id: str) -> list[AttemptRecord]:
    return [_attempt(dict(row)) for row in await transaction.rows(_OF_OPERATION, operation_id=operation_id)]


async def newest_ledger(transaction: Transaction, resource_id: str) -> int:
    """The last ledger in which a transaction for this order or withdrawal was applied; 0 without one."""
    row = await transaction.first(_NEWEST_LEDGER, resource_id=resource_id)
    assert row is not None, "an aggregate always answers one row"
    return int(row["ledger"])


async def mark_submitted(transaction: Transaction, attempt_id: str) -> None:
    """Count one more posting of the same bytes."""
    await transaction.run(_SUBMITTED, id=attempt_id, now=transaction.now)


async def settle(transaction: Transaction, attempt_id: str, settlement: Settlement) -> None:
    values = {**vars(settlement), "movements": orjson.dumps(settlement.movements).decode()}
    await transaction.run(_SETTLE, id=attempt_id, **values, now=transaction.now)


async def set_movements(transaction: Transaction, attempt_id: str, movements: list[dict[str, Any]]) -> None:
    await transaction.run(_SET_MOVEMENTS, id=attempt_id, movements=orjson.dumps(movements).decode(), now=transaction.now)


async def last_sequence(transaction: Transaction, source: str) -> int | None:
    """The highest sequence number of this account that one of our envelopes is known to have used up."""
    row = await transaction.first(_LAST_SEQUENCE, source=source)
    return row["sequence"] if row else None


async def queue_for(transaction: Transaction, source: str, intent_id: str) -> int:
    """Take a place in the queue for an account (once); returns how many intents are ahead, 0 meaning that this one holds it."""
    await transaction.first(_LOCK_SOURCE, source=source)
    await transaction.run(_ENQUEUE, source=source, intent_id=intent_id, now=transaction.now)
    await transaction.run(_DROP_ABSENT, source=source, absent_since=transaction.now - ABSENCE)
    row = await transaction.first(_AHEAD, source=source, intent_id=intent_id)
    assert row is not None, "a count always answers one row"
    return int(row["ahead"])


async def holder(transaction: Transaction, source: str) -> str | None:
    """The intent that holds the account; locks the account's queue until the transaction ends."""
    await transaction.first(_LOCK_SOURCE, source=source)
    row = await transaction.first(_HOLDER, source=source)
    return row["intent_id"] if row else None


async def leave_queue(transaction: Transaction, intent_id: str) -> None:
    await transaction.run(_LEAVE, intent_id=intent_id)


async def leave_queues_of(transaction: Transaction, operation_id: str) -> None:
    """Give back every place of an operation that ends, except where an envelope is still in the open."""
    await transaction.run(_LEAVE_OPERATION, operation_id=operation_id)


def _attempt(row: dict[str, Any]) -> AttemptRecord:
    return AttemptRecord(**{**row, "state": AttemptState(row["state"])})
