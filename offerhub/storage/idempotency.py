"""Answers kept for repeated requests; PostgreSQL decides, nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

# The advisory lock lives as long as the transaction, so a second request sees either "in flight" or the stored answer, never a gap.
_CLAIM = text(
    """
    SELECT pg_try_advisory_xact_lock(hashtextextended(:caller_id || ' ' || :key, 0)) AS claimed
    """
)
_FIND = text(
    """
    WITH forgotten AS (DELETE FROM idempotency_keys WHERE caller_id = :caller_id AND key = :key AND expires_at <= :now)
    SELECT method, path, body_hash, status, response, operation_id FROM idempotency_keys
    WHERE caller_id = :caller_id AND key = :key AND expires_at > :now
    """
)
_FINAL = text(
    """
    UPDATE idempotency_keys SET status = :status, response = CAST(:response AS jsonb), operation_id = NULL
    WHERE caller_id = :caller_id AND key = :key AND operation_id = :operation_id
    """
)
_PURGE = text("DELETE FROM idempotency_keys WHERE expires_at <= :now")


@dataclass(frozen=True)
class KeptAnswer:
    method: str
    path: str
    body_hash: str
    status: int
    response: dict[str, Any]
    operation_id: str | None


async def claim(transaction: Transaction, caller_id: str, key: str) -> bool:
    """Hold the key until the transaction ends; False while another request holds it."""
    row = await transaction.first(_CLAIM, caller_id=caller_id, key=key)
    return bool(row and row["claimed"])


async def find(transaction: Transaction, caller_id: str, key: str) -> KeptAnswer | None:
    """The kept answer; an expired one is forgotten first.

    Call it after ``claim``: a statement of its own sees what the key's last holder committed.
    """
    row = await transaction.first(_FIND, caller_id=caller_id, key=key, now=transaction.now)
    return KeptAnswer(**row) if row else None


async def make_final(transaction: Transaction, caller_id: str, key: str, answer: KeptAnswer) -> KeptAnswer:
    """Replace the promise of an operation by its outcome. The first outcome stays; returns the one that is kept."""
    values = {"status": answer.status, "response": orjson.dumps(answer.response).decode(), "operation_id": answer.operation_id}
    if await transaction.run(_FINAL, caller_id=caller_id, key=key, **values):
        return answer
    return await find(transaction, caller_id, key) or answer


async def purge(transaction: Transaction) -> int:
    return await transaction.run(_PURGE, now=transaction.now)
