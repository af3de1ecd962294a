"""The audit log: sealing committed entries into the chain, and reading them back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import orjson
from sqlalchemy import text

from offerhub.domain.audit import GENESIS, AuditEntry, digest
from offerhub.storage.unit_of_work import Transaction

_SEALER_LOCK = 0x0FFE_0003
_TRY_SEALER = text("SELECT pg_try_advisory_xact_lock(:key) AS locked")
_ENTRY = "a.id, a.action, a.resource_type, a.resource_id, a.actor_id, a.user_ids, a.before, a.after, a.correlation_id, a.occurred_at"
_SEALED = "c.sequence, c.previous_hash, c.hash"
_HEAD = text("SELECT sequence, hash FROM audit_chain ORDER BY sequence DESC LIMIT 1")
_TAKE = text(
    f"""
    WITH taken AS (
        DELETE FROM audit_unsealed WHERE inserted IN (SELECT inserted FROM audit_unsealed ORDER BY inserted LIMIT :limit)
        RETURNING inserted, audit_id
    )
    SELECT {_ENTRY} FROM taken JOIN audit_log a ON a.id = taken.audit_id ORDER BY taken.inserted
    """  # noqa: S608
)
_SEAL = text(
    """
    INSERT INTO audit_chain (sequence, audit_id, previous_hash, hash, sealed_at)
    SELECT sequence, id, previous_hash, hash, :now
    FROM jsonb_to_recordset(CAST(:sealed AS jsonb)) AS s(sequence bigint, id text, previous_hash text, hash text)
    """
)
_WANTED = """
      (CAST(:resource_type AS text) IS NULL OR a.resource_type = :resource_type)
      AND (CAST(:resource_id AS text) IS NULL OR a.resource_id = :resource_id)
      AND (CAST(:action AS text) IS NULL OR a.action = :action)
      AND (CAST(:user_id AS text) IS NULL OR a.user_ids @> ARRAY[CAST(:user_id AS text)])
      AND (CAST(:actor_id AS text) IS NULL OR a.actor_id = :actor_id)
      AND (CAST(:since AS timestamptz) IS NULL OR a.occurred_at >= :since)
      AND (CAST(:until AS timestamptz) IS NULL OR a.occurred_at < :until)
"""
_PAGE = text(
    f"""
    SELECT {_ENTRY}, {_SEALED} FROM audit_log a LEFT JOIN audit_chain c ON c.audit_id = a.id
    WHERE {_WANTED} AND (CAST(:cursor AS text) IS NULL OR a.id < :cursor)
    ORDER BY a.id DESC LIMIT :limit
    """  # noqa: S608
)
_CHAIN = text(
    f"""
    SELECT {_ENTRY}, {_SEALED} FROM audit_chain c JOIN audit_log a ON a.id = c.audit_id
    WHERE {_WANTED} AND c.sequence > :after AND c.sequence <= :last
    ORDER BY c.sequence LIMIT :limit
    """  # noqa: S608
)
_SEQUENCE = text("SELECT sequence FROM audit_chain WHERE audit_id = :id")


@dataclass(frozen=True)
class Head:
    """The last sealed entry."""

    sequence: int = 0
    hash: str = GENESIS


@dataclass(frozen=True)
class AuditFilter:
    """``since`` is included, ``until`` is not."""

    resource_type: str | None = None
    resource_id: str | None = None
    action: str | None = None
    user_id: str | None = None
    actor_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None


async def seal_committed(transaction: Transaction, limit: int) -> list[AuditEntry]:
    """Seal the next committed entries, in the order they were written; empty when none waits or another sealer is at work."""
    row = await transaction.first(_TRY_SEALER, key=_SEALER_LOCK)
    if row is None or not row["locked"]:
        return []
    last = await head(transaction)
    sealed: list[AuditEntry] = []
    for waiting in await transaction.rows(_TAKE, limit=limit):
        linked = AuditEntry(**waiting, sequence=last.sequence + 1, previous_hash=last.hash)
        entry = replace(linked, hash=digest(linked.document()))
        sealed.append(entry)
        last = Head(last.sequence + 1, str(entry.hash))
    if sealed:
        links = [{"id": one.id, "sequence": one.sequence, "previous_hash": one.previous_hash, "hash": one.hash} for one in sealed]
        await transaction.run(_SEAL, sealed=orjson.dumps(links).decode(), now=transaction.now)
    return sealed


async def head(transaction: Transaction) -> Head:
    row = await transaction.first(_HEAD)
    return Head(row["sequence"], row["hash"]) if row else Head()


async def page(transaction: Transaction, wanted: AuditFilter, cursor: str | None, limit: int) -> list[AuditEntry]:
    """Newest first, those not sealed yet included."""
    return [AuditEntry(**row) for row in await transaction.rows(_PAGE, **vars(wanted), cursor=cursor, limit=limit)]


async def chain(transaction: Transaction, wanted: AuditFilter, between: tuple[int, int], limit: int) -> list[AuditEntry]:
    """Sealed entries in their order; ``between`` is (after, up to and including)."""
    rows = await transaction.rows(_CHAIN, **vars(wanted), after=between[0], last=between[1], limit=limit)
    return [AuditEntry(**row) for row in rows]


async def sequence_of(transaction: Transaction, audit_id: str) -> int | None:
    """None when there is no such entry, or it is not sealed yet."""
    row = await transaction.first(_SEQUENCE, id=audit_id)
    return row["sequence"] if row else None
