"""Deposits seen on the chain and the cursor of the stream they were read from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_COLUMNS = """id, chain_operation, change_index, transaction_hash, user_id, recipient, sender, amount, asset, status, reason, memo,
    ledger_closed_at, created_at"""
_INSERT = text(
    f"""
    INSERT INTO deposits ({_COLUMNS})
    VALUES (:id, :chain_operation, :change_index, :transaction_hash, :user_id, :recipient, :sender, :amount, :asset, :status, :reason,
            :memo, :ledger_closed_at, :now)
    ON CONFLICT (chain_operation, change_index) DO NOTHING
    """  # noqa: S608
)
_GET = text(f"SELECT {_COLUMNS} FROM deposits WHERE id = :id")  # noqa: S608
_LIST = text(
    f"""
    SELECT {_COLUMNS} FROM deposits
    WHERE (CAST(:cursor AS text) IS NULL OR id < :cursor) AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
      AND (CAST(:status AS text) IS NULL OR status = :status)
    ORDER BY id DESC LIMIT :limit
    """  # noqa: S608
)
_RECEIVED = text("SELECT coalesce(sum(amount), 0) AS amount FROM deposits WHERE user_id = :user_id AND asset = :asset")
_CURSOR = text("SELECT cursor FROM stream_cursors WHERE name = :name")
_SET_CURSOR = text(
    """
    INSERT INTO stream_cursors (name, cursor, updated_at) VALUES (:name, :cursor, :now)
    ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor, updated_at = excluded.updated_at
    """
)


@dataclass(frozen=True)
class DepositRecord:
    """One balance change on one of our wallets; unique by (``chain_operation``, ``change_index``), never by hash."""

    id: str
    chain_operation: str
    change_index: int
    transaction_hash: str
    user_id: str
    recipient: str
    sender: str
    amount: int
    asset: str
    status: str
    reason: str | None
    memo: str | None
    ledger_closed_at: datetime
    created_at: datetime | None = None


async def insert(transaction: Transaction, deposit: DepositRecord) -> bool:
    """False when this change is recorded already."""
    values = {name: value for name, value in vars(deposit).items() if name != "created_at"}
    return await transaction.run(_INSERT, **values, now=transaction.now) == 1


async def get(transaction: Transaction, deposit_id: str) -> DepositRecord | None:
    row = await transaction.first(_GET, id=deposit_id)
    return DepositRecord(**row) if row else None


@dataclass(frozen=True)
class DepositFilter:
    user_id: str | None = None
    status: str | None = None


async def page(transaction: Transaction, wanted: DepositFilter, cursor: str | None, limit: int) -> list[DepositRecord]:
    return [DepositRecord(**row) for row in await transaction.rows(_LIST, **vars(wanted), cursor=cursor, limit=limit)]


async def received(transaction: Transaction, user_id: str, asset: str) -> int:
    """How much of an asset the chain brought to a user's wallet, credited or not, in stroops."""
    row = await transaction.first(_RECEIVED, user_id=user_id, asset=asset)
    return int(row["amount"]) if row else 0


async def cursor(transaction: Transaction, name: str) -> str | None:
    row = await transaction.first(_CURSOR, name=name)
    return row["cursor"] if row else None


async def set_cursor(transaction: Transaction, name: str, position: str) -> None:
    await transaction.run(_SET_CURSOR, name=name, cursor=position, now=transaction.now)
