"""API keys: hashes and what each may do. The secret itself is never stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_COLUMNS = "id, name, secret_hash, scopes, allowed_ips, expires_at, revoked_at, last_used_at, created_at"
_INSERT = text(
    """
    INSERT INTO api_keys (id, name, secret_hash, scopes, allowed_ips, expires_at, created_at)
    VALUES (:id, :name, :secret_hash, :scopes, :allowed_ips, :expires_at, :now)
    """
)
_GET = text(f"SELECT {_COLUMNS} FROM api_keys WHERE id = :id")  # noqa: S608
_LIST = text(f"SELECT {_COLUMNS} FROM api_keys WHERE CAST(:cursor AS text) IS NULL OR id < :cursor ORDER BY id DESC LIMIT :limit")  # noqa: S608
_REVOKE = text("UPDATE api_keys SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL")
_USED = text("UPDATE api_keys SET last_used_at = :now WHERE id = ANY(:ids)")


@dataclass(frozen=True)
class ApiKeyRecord:
    id: str
    name: str
    secret_hash: str = field(repr=False)
    scopes: list[str]
    allowed_ips: list[str]
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None
    created_at: datetime | None = None


async def insert(transaction: Transaction, key: ApiKeyRecord) -> None:
    names = ("id", "name", "secret_hash", "scopes", "allowed_ips", "expires_at")
    await transaction.run(_INSERT, **{name: getattr(key, name) for name in names}, now=transaction.now)


async def get(transaction: Transaction, key_id: str) -> ApiKeyRecord | None:
    row = await transaction.first(_GET, id=key_id)
    return ApiKeyRecord(**row) if row else None


async def page(transaction: Transaction, cursor: str | None, limit: int) -> list[ApiKeyRecord]:
    return [ApiKeyRecord(**row) for row in await transaction.rows(_LIST, cursor=cursor, limit=limit)]


async def revoke(transaction: Transaction, key_id: str) -> bool:
    return await transaction.run(_REVOKE, id=key_id, now=transaction.now) == 1


async def mark_used(transaction: Transaction, key_ids: list[str]) -> None:
    await transaction.run(_USED, ids=key_ids, now=transaction.now)
