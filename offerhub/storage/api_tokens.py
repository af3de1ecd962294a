"""Short-lived tokens of API keys: hashes, like the keys themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_INSERT = text(
    """
    INSERT INTO api_tokens (id, key_id, key_generation, secret_hash, scopes, user_id, expires_at, created_at)
    VALUES (:id, :key_id, :key_generation, :secret_hash, :scopes, :user_id, :expires_at, :now)
    """
)
_GET = text("SELECT id, key_id, key_generation, secret_hash, scopes, user_id, expires_at FROM api_tokens WHERE id = :id")
_PURGE = text("DELETE FROM api_tokens WHERE expires_at <= :now")


@dataclass(frozen=True)
class TokenRecord:
    """Never changes. ``key_generation`` is that of the secret it was made with; ``user_id`` binds it to one user."""

    id: str
    key_id: str
    key_generation: int
    secret_hash: str = field(repr=False)
    scopes: list[str]
    user_id: str | None
    expires_at: datetime


async def insert(transaction: Transaction, token: TokenRecord) -> None:
    await transaction.run(_INSERT, **vars(token), now=transaction.now)


async def get(transaction: Transaction, token_id: str) -> TokenRecord | None:
    row = await transaction.first(_GET, id=token_id)
    return TokenRecord(**row) if row else None


async def purge(transaction: Transaction) -> int:
    return await transaction.run(_PURGE, now=transaction.now)
