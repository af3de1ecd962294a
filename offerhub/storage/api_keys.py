"""API keys: hashes and what each may do. The secret itself is never stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_COLUMNS = (
    "id, name, secret_hash, generation, previous_secret_hash, previous_valid_until, scopes, allowed_ips, "
    "expires_at, revoked_at, last_used_at, created_at"
)
_INSERT = text(
    """
    INSERT INTO api_keys (id, name, secret_hash, scopes, allowed_ips, expires_at, created_at)
    VALUES (:id, :name, :secret_hash, :scopes, :allowed_ips, :expires_at, :now)
    """
)
_GET = text(f"SELECT {_COLUMNS} FROM api_keys WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM api_keys WHERE id = :id FOR UPDATE")  # noqa: S608
_LIST = text(f"SELECT {_COLUMNS} FROM api_keys WHERE CAST(:cursor AS text) IS NULL OR id < :cursor ORDER BY id DESC LIMIT :limit")  # noqa: S608
_REVOKE = text("UPDATE api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL")
_ROTATE = text(
    """
    UPDATE api_keys
    SET previous_secret_hash = secret_hash, previous_valid_until = :previous_valid_until, secret_hash = :secret_hash,
        generation = generation + 1
    WHERE id = :id
    """
)
# A row that another process is writing needs no second time stamp.
_USED = text(
    """
    UPDATE api_keys SET last_used_at = :now WHERE id IN (
        SELECT id FROM api_keys WHERE id = ANY(:ids) AND (last_used_at IS NULL OR last_used_at <= :noted_before)
        FOR NO KEY UPDATE SKIP LOCKED)
    """
)


@dataclass(frozen=True)
class ApiKeyRecord:
    """``generation`` counts the secrets it has had; the one before is accepted until ``previous_valid_until``."""

    id: str
    name: str
    secret_hash: str = field(repr=False)
    scopes: list[str]
    allowed_ips: list[str]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    created_at: datetime | None = None
    generation: int = 1
    previous_secret_hash: str | None = field(default=None, repr=False)
    previous_valid_until: datetime | None = None


async def insert(transaction: Transaction, key: ApiKeyRecord) -> None:
    names = ("id", "name", "secret_hash", "scopes", "allowed_ips", "expires_at")
    await transaction.run(_INSERT, **{name: getattr(key, name) for name in names}, now=transaction.now)


async def get(transaction: Transaction, key_id: str) -> ApiKeyRecord | None:
    row = await transaction.first(_GET, id=key_id)
    return ApiKeyRecord(**row) if row else None


async def lock(transaction: Transaction, key_id: str) -> ApiKeyRecord | None:
    """Until the transaction ends nobody else changes the key."""
    row = await transaction.first(_LOCK, id=key_id)
    return ApiKeyRecord(**row) if row else None


async def page(transaction: Transaction, cursor: str | None, limit: int) -> list[ApiKeyRecord]:
    return [ApiKeyRecord(**row) for row in await transaction.rows(_LIST, cursor=cursor, limit=limit)]


async def revoke(transaction: Transaction, key_id: str) -> bool:
    return await transaction.run(_REVOKE, id=key_id, now=transaction.now) == 1


async def rotate(transaction: Transaction, key_id: str, secret_hash: str, previous_valid_until: datetime) -> None:
    await transaction.run(_ROTATE, id=key_id, secret_hash=secret_hash, previous_valid_until=previous_valid_until)


async def mark_used(transaction: Transaction, key_ids: list[str], at_most_every: timedelta) -> None:
    """Keys marked within ``at_most_every``, by whatever process, are left alone."""
    await transaction.run(_USED, ids=key_ids, now=transaction.now, noted_before=transaction.now - at_most_every)
