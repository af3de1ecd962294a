"""Answers kept for repeated requests; PostgreSQL decides, nothing else does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

# The advisory lock lives as long as the transaction. What its last holder committed after this statement began is not seen by it: whoever
# then works on cannot store his answer beside the first one's (``AnswerStoredError``).
_CLAIM = text(
    """
    SELECT claimed, k.method, k.path, k.body_hash, k.status, k.response, k.operation_id
    FROM pg_try_advisory_xact_lock(hashtextextended(:caller_id || ' ' || :key, 0)) AS claimed
    LEFT JOIN idempotency_keys k ON k.caller_id = :caller_id AND k.key = :key AND k.expires_at > :now
    """
)
_FIND = text(
    """
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


class KeyInUseError(Exception):
    """Another request holds the key."""


async def claim(transaction: Transaction, caller_id: str, key: str) -> KeptAnswer | None:
    """Hold the key until the transaction ends, and give the answer it has already. Raises ``KeyInUseError``."""
    row = await transaction.first(_CLAIM, caller_id=caller_id, key=key, now=transaction.now)
    assert row is not None, "the lock's own row is always there"
    if not row.pop("claimed"):
        raise KeyInUseError
    return KeptAnswer(**row) if row["status"] else None


async def make_final(transaction: Transaction, caller_id: str, key: str, answer: KeptAnswer) -> KeptAnswer:
    """Replace the promise of an operation by its outcome. The first outcome stays; returns the one that is kept."""
    values = {"status": answer.status, "response": orjson.dumps(answer.response).decode(), "operation_id": answer.operation_id}
    if await transaction.run(_FINAL, caller_id=caller_id, key=key, **values):
        return answer
    row = await transaction.first(_FIND, caller_id=caller_id, key=key, now=transaction.now)
    return KeptAnswer(**row) if row else answer


async def purge(transaction: Transaction) -> int:
    return await transaction.run(_PURGE, now=transaction.now)
