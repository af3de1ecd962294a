"""Deposits seen on the chain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_COLUMNS = """id, chain_operation, change_index, transaction_hash, user_id, recipient, sender, amount, asset, status, reason, memo,
    muxed_id, ledger_closed_at, created_at"""
_INSERT = text(
    f"""
    INSERT INTO deposits ({_COLUMNS})
    VALUES (:id, :chain_operation, :change_index, :transaction_hash, :user_id, :recipient, :sender, :amount, :asset, :status, :reason,
            :memo, :muxed_id, :ledger_closed_at, :now)
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
_HELD = text(
    f"""
    SELECT {_COLUMNS} FROM deposits WHERE recipient = :recipient AND status = 'HELD'
    -- As numbers, which they are.
    ORDER BY length(chain_operation), chain_operation, change_index FOR UPDATE
    """  # noqa: S608
)
_CREDIT_HELD = text("UPDATE deposits SET status = 'CREDITED', user_id = :user_id, reason = NULL WHERE id = :id AND status = 'HELD'")
_RECORDED = text(
    """
    SELECT d.chain_operation, d.change_index FROM deposits d
    JOIN unnest(CAST(:operations AS text[]), CAST(:indexes AS smallint[])) AS k(operation, index)
      ON d.chain_operation = k.operation AND d.change_index = k.index
    """
)


@dataclass(frozen=True)
class DepositRecord:
    """One balance change on one of our wallets; unique by (``chain_operation``, ``change_index``), never by hash.

    CREDITED to a user; REFUSED, not our asset; or HELD while nobody has the wallet yet.
    """

    id: str
    chain_operation: str
    change_index: int
    transaction_hash: str
    user_id: str | None
    recipient: str
    sender: str
    amount: int
    asset: str
    status: str
    reason: str | None
    memo: str | None
    muxed_id: str | None
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


async def held(transaction: Transaction, recipient: str) -> list[DepositRecord]:
    """What came to a wallet before it had a user, oldest first; locked until the transaction ends."""
    return [DepositRecord(**row) for row in await transaction.rows(_HELD, recipient=recipient)]


async def credit_held(transaction: Transaction, deposit_id: str, user_id: str) -> None:
    await transaction.run(_CREDIT_HELD, id=deposit_id, user_id=user_id)


async def recorded(transaction: Transaction, keys: Sequence[tuple[str, int]]) -> set[tuple[str, int]]:
    """Which of these (``chain_operation``, ``change_index``) are recorded."""
    rows = await transaction.rows(_RECORDED, operations=[key[0] for key in keys], indexes=[key[1] for key in keys])
    return {(row["chain_operation"], row["change_index"]) for row in rows}
