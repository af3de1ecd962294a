"""Withdrawals: where a user's money is to go and how far it got."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.domain.states import WithdrawalState
from offerhub.domain.withdrawals import Memo, MemoType
from offerhub.storage.unit_of_work import Transaction

_COLUMNS = """id, user_id, amount, currency, destination_type, destination, memo_type, memo, description, state, operation_id,
    transaction_hash, failure, created_at, updated_at, finished_at"""
_INSERT = text(
    """
    INSERT INTO withdrawals (id, user_id, amount, currency, destination_type, destination, memo_type, memo, description, state,
                             operation_id, created_at, updated_at)
    VALUES (:id, :user_id, :amount, :currency, :destination_type, :destination, :memo_type, :memo, :description, :state,
            :operation_id, :now, :now)
    """
)
_GET = text(f"SELECT {_COLUMNS} FROM withdrawals WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_COLUMNS} FROM withdrawals WHERE id = :id FOR UPDATE")  # noqa: S608
_LIST = text(
    f"""
    SELECT {_COLUMNS} FROM withdrawals
    WHERE (CAST(:cursor AS text) IS NULL OR id < :cursor)
      AND (CAST(:user_id AS text) IS NULL OR user_id = :user_id)
      AND (CAST(:state AS text) IS NULL OR state = :state)
    ORDER BY id DESC LIMIT :limit
    """  # noqa: S608
)
_SET_STATE = text(
    """
    UPDATE withdrawals SET state = :target, transaction_hash = :transaction_hash, failure = CAST(:failure AS jsonb), updated_at = :now,
        finished_at = CASE WHEN :target IN ('WITHDRAWAL_COMPLETED', 'WITHDRAWAL_FAILED') THEN CAST(:now AS timestamptz) END
    WHERE id = :id AND state = :current
    """
)


@dataclass(frozen=True)
class WithdrawalRecord:
    """``failure`` is ``{"code", "message"}``; ``finished_at`` is set with the state that nothing leaves."""

    id: str
    user_id: str
    amount: int
    currency: str
    destination_type: str
    destination: str
    memo: Memo | None
    description: str | None
    state: WithdrawalState
    operation_id: str
    transaction_hash: str | None = None
    failure: dict[str, str] | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class WithdrawalFilter:
    user_id: str | None = None
    state: str | None = None


@dataclass(frozen=True)
class WithdrawalChange:
    """A state change and what it ends with."""

    current: WithdrawalState
    target: WithdrawalState
    transaction_hash: str | None = None
    failure: dict[str, str] | None = None


async def insert(transaction: Transaction, withdrawal: WithdrawalRecord) -> None:
    names = ("id", "user_id", "amount", "currency", "destination_type", "destination", "description", "state", "operation_id")
    values = {name: getattr(withdrawal, name) for name in names}
    memo = withdrawal.memo
    await transaction.run(_INSERT, **values, memo_type=memo.type if memo else None, memo=memo.value if memo else None, now=transaction.now)


async def get(transaction: Transaction, withdrawal_id: str) -> WithdrawalRecord | None:
    row = await transaction.first(_GET, id=withdrawal_id)
    return _withdrawal(dict(row)) if row else None


async def lock(transaction: Transaction, withdrawal_id: str) -> WithdrawalRecord | None:
    """As it is now, locked until the transaction ends: the first lock of every command on a withdrawal."""
    row = await transaction.first(_LOCK, id=withdrawal_id)
    return _withdrawal(dict(row)) if row else None


async def page(transaction: Transaction, wanted: WithdrawalFilter, cursor: str | None, limit: int) -> list[WithdrawalRecord]:
    """Newest first, from after ``cursor``."""
    return [_withdrawal(dict(row)) for row in await transaction.rows(_LIST, **vars(wanted), cursor=cursor, limit=limit)]


async def set_state(transaction: Transaction, withdrawal_id: str, change: WithdrawalChange) -> None:
    values = {**vars(change), "failure": orjson.dumps(change.failure).decode() if change.failure else None}
    if await transaction.run(_SET_STATE, id=withdrawal_id, **values, now=transaction.now) != 1:
        raise RuntimeError(f"withdrawal {withdrawal_id} changed under its lock")


def _withdrawal(row: dict[str, Any]) -> WithdrawalRecord:
    kind, value = row.pop("memo_type"), row.pop("memo")
    memo = Memo(MemoType(kind), value) if kind is not None else None
    return WithdrawalRecord(**{**row, "memo": memo, "state": WithdrawalState(row["state"])})
