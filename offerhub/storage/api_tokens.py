"""Short-lived tokens of API keys: hashes, like the keys themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.api_keys import COLUMNS, ApiKeyRecord
from offerhub.storage.unit_of_work import Transaction

_INSERT = text(
    """
    INSERT INTO api_tokens (id, key_id, secret_hash, scopes, user_id, expires_at, created_at)
    VALUES (:id, :key_id, :secret_hash, :scopes, :user_id, :expires_at, :now)
    """
)
_GET = text("SELECT id, key_id, secret_hash, scopes, user_id, expires_at FROM api_tokens WHERE id = :id")
_KEY = text(f"SELECT {COLUMNS} FROM api_tokens t JOIN api_keys k ON k.id = t.key_id WHERE t.id = :id")  # noqa: S608
_END = text("UPDATE api_tokens SET expires_at = :end WHERE key_id = :key_id AND expires_at > :end")
_PURGE = text("DELETE FROM api_tokens WHERE expires_at <= :now")


@dataclass(frozen=True)
class TokenRecord:
    """``user_id`` binds it to one user; None is a token with all its scopes say."""

    id: str
    key_id: str
    secret_hash: str = field(repr=False)
    scopes: list[str]
    user_id: str | None
    expires_at: datetime


async def insert(transaction: Transaction, token: TokenRecord) -> None:
    await transaction.run(_INSERT, **vars(token), now=transaction.now)


async def get(transaction: Transaction, token_id: str) -> tuple[TokenRecord, ApiKeyRecord] | None:
    """A token and its key."""
    token = await transaction.first(_GET, id=token_id)
    key = await transaction.first(_KEY, id=token_id)
    return (TokenRecord(**token), ApiKeyRecord(**key)) if token and key else None


async def end(transaction: Transaction, key_id: str, end: datetime) -> None:
    """No token the key has now outlives ``end``."""
    await transaction.run(_END, key_id=key_id, end=end)


async def purge(transaction: Transaction) -> int:
    return await transaction.run(_PURGE, now=transaction.now)
