"""Operations: what was asked of the chain and how far it got. And the outbox that tells the workflows."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.domain.plans import Subject
from offerhub.storage.unit_of_work import Transaction

_COLUMNS = """id, kind, resource_type, resource_id, status, workflow_id, transaction_hashes, error, details, correlation_id, requested_by,
    created_at, updated_at, finished_at"""
_INSERT = text(
    """
    INSERT INTO operations (id, kind, resource_type, resource_id, status, workflow_id, details, correlation_id, requested_by,
                            created_at, updated_at)
    VALUES (:id, :kind, :resource_type, :resource_id, 'PENDING', :workflow_id, CAST(:details AS jsonb), :correlation_id, :requested_by,
            :now, :now)
    """
)
_GET = text(f"SELECT {_COLUMNS} FROM operations WHERE id = :id")  # noqa: S608
_LAST = text(f"SELECT {_COLUMNS} FROM operations WHERE resource_id = :resource_id AND kind = :kind ORDER BY id DESC LIMIT 1")  # noqa: S608
_LAST_OF_MILESTONE = text(
    f"""
    SELECT {_COLUMNS} FROM operations
    WHERE resource_id = :resource_id AND kind = :kind
      AND CAST(details ->> 'milestone_index' AS integer) IS NOT DISTINCT FROM CAST(:milestone_index AS integer)
    ORDER BY id DESC LIMIT 1
    """  # noqa: S608
)
_LAST_BY_MILESTONE = text(
    """
    SELECT CAST(details ->> 'milestone_index' AS integer) AS milestone_index, max(id) AS id FROM operations
    WHERE resource_id = :resource_id AND kind = :kind AND details ->> 'milestone_index' IS NOT NULL GROUP BY 1
    """
)
_FIRST_STILL_FAILED = text(
    f"""
    SELECT {_COLUMNS} FROM (
        SELECT DISTINCT ON (details ->> 'milestone_index') * FROM operations WHERE resource_id = :resource_id AND kind = :kind
        ORDER BY details ->> 'milestone_index', id DESC) newest
    WHERE status = 'FAILED' ORDER BY id LIMIT 1
    """  # noqa: S608
)
_LIST = text(
    f"""
    SELECT {_COLUMNS} FROM operations
    WHERE (CAST(:cursor AS text) IS NULL OR id < :cursor)
      AND (CAST(:resource_id AS text) IS NULL OR resource_id = :resource_id)
      AND (CAST(:status AS text) IS NULL OR status = :status)
    ORDER BY id DESC LIMIT :limit
    """  # noqa: S608
)
# Shared: whoever would end the operation waits until this transaction is over.
_HOLD_IN_FLIGHT = text("SELECT 1 FROM operations WHERE id = :id AND status IN ('PENDING', 'RUNNING') FOR SHARE")
_START = text("UPDATE operations SET status = 'RUNNING', updated_at = :now WHERE id = :id AND status = 'PENDING'")
_SET_DETAILS = text("UPDATE operations SET details = CAST(:details AS jsonb), updated_at = :now WHERE id = :id")
_ADD_HASH = text(
    """
    UPDATE operations SET transaction_hashes = transaction_hashes || CAST(:hash AS text), updated_at = :now
    WHERE id = :id AND NOT CAST(:hash AS text) = ANY(transaction_hashes)
    """
)
_FINISH = text(
    """
    UPDATE operations SET status = :status, error = CAST(:error AS jsonb), updated_at = :now, finished_at = :now
    WHERE id = :id AND status IN ('PENDING', 'RUNNING')
    """
)
# The lock is for the moment of claiming only: the delivery itself happens outside of any transaction.
_CLAIM_MESSAGES = text(
    """
    UPDATE workflow_messages m SET claimed_until = :until
    WHERE m.id IN (SELECT id FROM workflow_messages
                   WHERE dispatched_at IS NULL AND priority BETWEEN :first AND :last AND (claimed_until IS NULL OR claimed_until < :now)
                   ORDER BY priority, id LIMIT :limit FOR UPDATE SKIP LOCKED)
    RETURNING m.id, m.priority, m.workflow, m.workflow_id, m.signal, m.payload
    """
)
_GIVE_BACK = text("UPDATE workflow_messages SET claimed_until = NULL WHERE id = ANY(:ids) AND dispatched_at IS NULL")
# A workflow that is told of an operation looks at everything: older word that something changed has nothing to add.
_SUPERSEDED = text(
    """
    UPDATE workflow_messages w SET dispatched_at = :now FROM workflow_messages d
    WHERE d.id = ANY(:ids) AND w.workflow_id = d.workflow_id AND w.id < d.id AND w.priority > d.priority AND w.dispatched_at IS NULL
      AND w.payload ->> 'operation_id' = ''
    """
)
# Somebody ended the workflow, or Temporal lost it: what it was told is told again. One that still runs knows the operation already.
_TELL_AGAIN = text(
    """
    UPDATE workflow_messages m SET dispatched_at = NULL, claimed_until = NULL FROM operations p
    WHERE p.status IN ('PENDING', 'RUNNING') AND p.created_at < :told_before AND m.payload ->> 'operation_id' = p.id
      AND m.dispatched_at < :told_before
    """
)
_DISPATCHED = text("UPDATE workflow_messages SET dispatched_at = :now WHERE id = ANY(:ids)")

# Longer than a delivery takes; a dispatcher that died delays its messages by this.
CLAIM = timedelta(seconds=15)


@dataclass(frozen=True)
class OperationRecord:
    id: str
    kind: str
    resource_type: str
    resource_id: str
    status: str
    workflow_id: str
    transaction_hashes: list[str] = field(default_factory=list)
    error: dict[str, Any] | None = None
    details: dict[str, Any] = field(default_factory=dict)
    correlation_id: str = ""
    requested_by: str = ""
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def subject(self) -> Subject:
        return Subject.from_json(self.details)


@dataclass(frozen=True)
class PendingMessage:
    """A committed message that its workflow has not been told yet."""

    id: int
    priority: int
    workflow: str
    workflow_id: str
    signal: str
    payload: dict[str, Any]


async def insert(transaction: Transaction, operation: OperationRecord) -> None:
    values = {name: getattr(operation, name) for name in ("id", "kind", "resource_type", "resource_id", "workflow_id")}
    context = transaction.context
    values["details"] = orjson.dumps(operation.details).decode()
    await transaction.run(_INSERT, **values, correlation_id=context.correlation_id, requested_by=context.actor_id, now=transaction.now)
    subject = {"kind": operation.kind, "resourceType": operation.resource_type, "resourceId": operation.resource_id}
    transaction.audit("operation.accepted", ("operation", operation.id), None, subject)


async def get(transaction: Transaction, operation_id: str) -> OperationRecord | None:
    row = await transaction.first(_GET, id=operation_id)
    return OperationRecord(**row) if row else None


async def last_of_milestone(transaction: Transaction, resource_id: str, kind: str, milestone_index: int | None) -> OperationRecord | None:
    """The newest operation of a kind on one milestone; on the whole order when there is no index."""
    row = await transaction.first(_LAST_OF_MILESTONE, resource_id=resource_id, kind=kind, milestone_index=milestone_index)
    return OperationRecord(**row) if row else None


async def last_by_milestone(transaction: Transaction, resource_id: str, kind: str) -> dict[int, str]:
    """The newest operation's id for each milestone that ever had one of this kind."""
    rows = await transaction.rows(_LAST_BY_MILESTONE, resource_id=resource_id, kind=kind)
    return {row["milestone_index"]: row["id"] for row in rows}


async def first_still_failed(transaction: Transaction, resource_id: str, kind: str) -> OperationRecord | None:
    """Looked at per milestone, where only the newest operation counts: the oldest of those that failed."""
    row = await transaction.first(_FIRST_STILL_FAILED, resource_id=resource_id, kind=kind)
    return OperationRecord(**row) if row else None


async def last(transaction: Transaction, resource_id: str, kind: str) -> OperationRecord | None:
    """The newest operation of a kind on a resource: what a second identical command is answered with."""
    row = await transaction.first(_LAST, resource_id=resource_id, kind=kind)
    return OperationRecord(**row) if row else None


@dataclass(frozen=True)
class OperationFilter:
    resource_id: str | None = None
    status: str | None = None


async def page(transaction: Transaction, wanted: OperationFilter, cursor: str | None, limit: int) -> list[OperationRecord]:
    rows = await transaction.rows(_LIST, **vars(wanted), cursor=cursor, limit=limit)
    return [OperationRecord(**row) for row in rows]


async def start(transaction: Transaction, operation_id: str) -> None:
    if await transaction.run(_START, id=operation_id, now=transaction.now):
        transaction.audit("operation.started", ("operation", operation_id), {"status": "PENDING"}, {"status": "RUNNING"})


async def set_subject(transaction: Transaction, operation_id: str, subject: Subject) -> None:
    """What was learned since it was accepted: from the chain before anything is signed, or from a person before it is booked."""
    details = subject.to_json()
    await transaction.run(_SET_DETAILS, id=operation_id, details=orjson.dumps(details).decode(), now=transaction.now)
    transaction.audit("operation.subject_learned", ("operation", operation_id), None, details)


async def hold_in_flight(transaction: Transaction, operation_id: str) -> bool:
    """Whether the operation is still in flight; if so, it stays so until the transaction ends."""
    return await transaction.first(_HOLD_IN_FLIGHT, id=operation_id) is not None


async def add_hash(transaction: Transaction, operation_id: str, transaction_hash: str) -> None:
    await transaction.run(_ADD_HASH, id=operation_id, hash=transaction_hash, now=transaction.now)


async def finish(transaction: Transaction, operation_id: str, error: dict[str, Any] | None = None) -> bool:
    """SUCCEEDED, or FAILED when there is an error; False when it was finished before."""
    status = "FAILED" if error else "SUCCEEDED"
    encoded = orjson.dumps(error).decode() if error else None
    if not await transaction.run(_FINISH, id=operation_id, status=status, error=encoded, now=transaction.now):
        return False
    transaction.audit(f"operation.{status.lower()}", ("operation", operation_id), None, {"status": status, "error": error})
    return True


async def claim_messages(transaction: Transaction, priorities: tuple[int, int], limit: int) -> list[PendingMessage]:
    """Take undispatched messages of a range of priorities, most urgent and oldest first; nobody else gets them for ``CLAIM``."""
    first, last = priorities
    values = {"first": first, "last": last, "limit": limit, "now": transaction.now, "until": transaction.now + CLAIM}
    claimed = [PendingMessage(**row) for row in await transaction.rows(_CLAIM_MESSAGES, **values)]
    return sorted(claimed, key=lambda message: (message.priority, message.id))


def give_back(transaction: Transaction, message_ids: list[int]) -> None:
    """These could not be delivered; anybody may try them at once."""
    transaction.send(_GIVE_BACK, ids=message_ids)


async def tell_again(transaction: Transaction, after: timedelta) -> int:
    """Put the messages of operations that are still in flight this long after they were told back into the outbox."""
    return await transaction.run(_TELL_AGAIN, told_before=transaction.now - after)


def mark_dispatched(transaction: Transaction, message_ids: list[int]) -> None:
    """These were delivered; with an operation's message, older word that the same order has changed needs no delivery any more."""
    transaction.send(_DISPATCHED, ids=message_ids, now=transaction.now)
    transaction.send(_SUPERSEDED, ids=message_ids, now=transaction.now)
