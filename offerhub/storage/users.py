"""Users and the wallets they own."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.storage.ledger import BALANCE_COLUMNS, BALANCE_JOINS, UserBalance, taken_balance
from offerhub.storage.listing import newest_first
from offerhub.storage.unit_of_work import Transaction

_COLUMNS = "u.id, u.external_user_id, u.email, u.type, u.status, u.metadata, u.created_at, u.updated_at"
# The asset is written out: the index of lumens serves no other.
_WALLET = """w.public_key, w.state AS wallet_state, w.created_at AS wallet_created_at,
    CAST(coalesce((SELECT sum(x.amount) FROM deposits x WHERE x.user_id = u.id AND x.asset = 'XLM'), 0) AS bigint) AS lumen_stroops"""
_SELECT = f"SELECT {_COLUMNS}, {_WALLET} FROM users u LEFT JOIN wallets w ON w.user_id = u.id"  # noqa: S608
_INSERT = text(
    """
    INSERT INTO users (id, external_user_id, email, type, status, metadata, created_at, updated_at)
    VALUES (:id, :external_user_id, :email, :type, 'ACTIVE', CAST(:metadata AS jsonb), :now, :now)
    ON CONFLICT (external_user_id) DO NOTHING
    """
)
_WITH_BALANCE = f"""SELECT {_COLUMNS}, {_WALLET}, {BALANCE_COLUMNS}
    FROM users u LEFT JOIN wallets w ON w.user_id = u.id {BALANCE_JOINS}"""  # noqa: S608
_GET = text(f"{_SELECT} WHERE u.id = :id")
_LOCK = text(f"{_SELECT} WHERE u.id = :id FOR UPDATE OF u")
_BY_EXTERNAL = text(f"{_SELECT} WHERE u.external_user_id = :external_user_id")
_GET_WITH_BALANCE = text(f"{_WITH_BALANCE} WHERE u.id = :id")
_BY_EXTERNAL_WITH_BALANCE = text(f"{_WITH_BALANCE} WHERE u.external_user_id = :external_user_id")
_UPDATE = text(
    """
    UPDATE users SET email = :email, type = :type, status = :status, metadata = CAST(:metadata AS jsonb), updated_at = :now WHERE id = :id
    """
)
_FILTERS = {
    "cursor": "u.id < :cursor",
    "type": "u.type = :type",
    "status": "u.status = :status",
    "external_user_id": "u.external_user_id = :external_user_id",
}
_STANDING = text(
    """
    SELECT u.id, u.status, w.public_key, w.state AS wallet_state
    FROM users u LEFT JOIN wallets w ON w.user_id = u.id WHERE u.id = ANY(:ids)
    """
)
# What the user ``u`` may spend; whoever reads it in a statement of his own locks it there. Accounts are opened with their user.
PURSE = "u.status AS user_status, a.balance AS available, r.balance AS reserved"
PURSE_JOINS = """JOIN account_balances a ON a.account = 'user:' || u.id || '\\:available'
    JOIN account_balances r ON r.account = 'user:' || u.id || '\\:reserved'"""
# In the order of their names, like every posting.
LOCKING_PURSE = "FOR UPDATE OF a, r"
_LOCK_PURSE = text(f"SELECT {PURSE} FROM users u {PURSE_JOINS} WHERE u.id = :id {LOCKING_PURSE}")  # noqa: S608


@dataclass(frozen=True)
class UserRecord:
    """A user with its wallet, of which everything is None while it waits for one. Lumens somebody sent there are in nobody's balance."""

    id: str
    external_user_id: str
    email: str | None
    type: str
    status: str
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    public_key: str | None
    wallet_state: str | None
    wallet_created_at: datetime | None
    lumen_stroops: int


@dataclass(frozen=True)
class UserAccount:
    """A user with what the books hold for him."""

    user: UserRecord
    balance: UserBalance


@dataclass(frozen=True)
class Standing:
    """May this user take part in an order, and with which account?"""

    id: str
    status: str
    public_key: str | None
    wallet_state: str | None


@dataclass(frozen=True)
class Purse:
    """What a user may spend and what of his is set aside, in stroops."""

    status: str
    available: int
    reserved: int


@dataclass(frozen=True)
class NewUser:
    id: str
    external_user_id: str
    email: str | None
    type: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class UserFilter:
    type: str | None = None
    status: str | None = None
    external_user_id: str | None = None


async def insert(transaction: Transaction, user: NewUser) -> bool:
    """False when the external id is taken; then nothing was written."""
    values = {**vars(user), "metadata": orjson.dumps(user.metadata).decode(), "now": transaction.now}
    return await transaction.run(_INSERT, **values) == 1


async def get(transaction: Transaction, user_id: str) -> UserRecord | None:
    row = await transaction.first(_GET, id=user_id)
    return UserRecord(**row) if row else None


async def by_external_id(transaction: Transaction, external_user_id: str) -> UserRecord | None:
    row = await transaction.first(_BY_EXTERNAL, external_user_id=external_user_id)
    return UserRecord(**row) if row else None


async def lock(transaction: Transaction, user_id: str) -> UserRecord | None:
    """As he is now, locked until the transaction ends."""
    row = await transaction.first(_LOCK, id=user_id)
    return UserRecord(**row) if row else None


async def update(transaction: Transaction, user: UserRecord) -> None:
    """Write what may change of a user that this transaction has locked."""
    values = {"id": user.id, "email": user.email, "type": user.type, "status": user.status}
    await transaction.run(_UPDATE, **values, metadata=orjson.dumps(user.metadata).decode(), now=transaction.now)


async def account(transaction: Transaction, user_id: str) -> UserAccount | None:
    row = await transaction.first(_GET_WITH_BALANCE, id=user_id)
    return _account(dict(row)) if row else None


async def account_by_external_id(transaction: Transaction, external_user_id: str) -> UserAccount | None:
    row = await transaction.first(_BY_EXTERNAL_WITH_BALANCE, external_user_id=external_user_id)
    return _account(dict(row)) if row else None


async def page(transaction: Transaction, wanted: UserFilter, cursor: str | None, limit: int) -> list[UserAccount]:
    """Newest first, from after ``cursor``."""
    values = {**vars(wanted), "cursor": cursor}
    return [_account(dict(row)) for row in await newest_first(transaction, _WITH_BALANCE, _FILTERS, values, limit)]


async def standings(transaction: Transaction, user_ids: tuple[str, ...]) -> dict[str, Standing]:
    rows = await transaction.rows(_STANDING, ids=list(user_ids))
    return {row["id"]: Standing(**row) for row in rows}


async def lock_purse(transaction: Transaction, user_id: str) -> Purse:
    """As it is now, locked until the transaction ends."""
    row = await transaction.first(_LOCK_PURSE, id=user_id)
    assert row is not None, "every user has accounts"
    return taken_purse(row)


def taken_purse(row: dict[str, Any]) -> Purse:
    """The purse out of a row read with ``PURSE``, which is left without it."""
    return Purse(row.pop("user_status"), row.pop("available"), row.pop("reserved"))


def _account(row: dict[str, Any]) -> UserAccount:
    balance = taken_balance(row)
    return UserAccount(UserRecord(**row), balance)
