"""Keys that custody holds, sealed, and the stock of ready wallets that users are given from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.session import Row
from offerhub.storage.unit_of_work import Transaction

_INSERT = text(
    """
    INSERT INTO wallets (id, kind, state, public_key, seal_format, seal_key_id, wrapped_key, seal_nonce, sealed_seed, created_at)
    VALUES (:id, :kind, 'PREPARED', :public_key, :seal_format, :seal_key_id, :wrapped_key, :seal_nonce, :sealed_seed, :now)
    """
)
_SEALED = text(
    """
    SELECT id, kind, public_key, seal_format, seal_key_id, wrapped_key, seal_nonce, sealed_seed
    FROM wallets WHERE public_key = ANY(:public_keys) AND state <> 'RETIRED'
    """
)
_TAKE = text(
    """
    UPDATE wallets SET user_id = :user_id
    WHERE id = (SELECT id FROM wallets WHERE user_id IS NULL AND kind = 'USER' AND state = 'READY'
                ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id, public_key
    """
)
_MOVE = text("UPDATE wallets SET state = :target WHERE public_key = ANY(:public_keys) AND state = :current RETURNING id")
_READY = text(
    """
    UPDATE wallets SET state = 'READY', ready_at = :now WHERE public_key = ANY(:public_keys) AND state = 'ACTIVATING'
    RETURNING id
    """
)
_IN_STATE = text("SELECT id, kind, state, public_key FROM wallets WHERE kind = :kind AND state = ANY(:states) ORDER BY id LIMIT :limit")
_PLATFORM = text("SELECT id, kind, state, public_key FROM wallets WHERE kind <> 'USER' AND state <> 'RETIRED' ORDER BY id")
_LOCK_PLATFORM = text("SELECT pg_advisory_xact_lock(hashtext('offerhub wallet stock'))")
_STOCK = text(
    """
    SELECT (SELECT count(*) FROM wallets WHERE user_id IS NULL AND kind = 'USER' AND state = 'READY') AS ready,
           (SELECT count(*) FROM wallets WHERE kind = 'USER' AND state IN ('PREPARED', 'ACTIVATING')) AS prepared,
           (SELECT count(*) FROM users u WHERE NOT EXISTS (SELECT 1 FROM wallets w WHERE w.user_id = u.id)) AS waiting_users
    """
)
_WAITING = text(
    """
    SELECT id FROM users u WHERE NOT EXISTS (SELECT 1 FROM wallets w WHERE w.user_id = u.id) ORDER BY id LIMIT :limit
    """
)
_OWNERS = text("SELECT public_key, user_id FROM wallets WHERE kind = 'USER' AND public_key = ANY(:public_keys)")
_LOCK_STOCK = text("SELECT 1 FROM wallets WHERE public_key = ANY(:public_keys) AND user_id IS NULL ORDER BY public_key FOR SHARE")
_WHOSE = text("SELECT kind, user_id FROM wallets WHERE public_key = :public_key")
# In turn, whoever else is choosing at this moment: an account places one transaction per ledger, so the pool is as fast as its busiest.
_NEXT_SIGNER = text(
    """
    WITH signers AS (
        SELECT public_key, row_number() OVER (ORDER BY id) - 1 AS place, count(*) OVER () AS many
        FROM wallets WHERE kind = 'SIGNER' AND state = 'READY'
    ), turn AS MATERIALIZED (SELECT nextval('signer_turns') AS number)
    SELECT public_key FROM signers, turn WHERE place = turn.number % many
    """
)
_PLATFORM_KEY = text("SELECT public_key FROM wallets WHERE kind = :kind AND state = 'READY' ORDER BY id LIMIT 1")


@dataclass(frozen=True)
class SealedWallet:
    """A wallet with its encrypted seed, as custody reads and writes it."""

    id: str
    kind: str
    public_key: str
    seal_format: int
    seal_key_id: str
    wrapped_key: bytes
    seal_nonce: bytes
    sealed_seed: bytes


@dataclass(frozen=True)
class WalletRecord:
    id: str
    kind: str
    state: str
    public_key: str
    created_at: datetime | None = None


@dataclass(frozen=True)
class Stock:
    """``prepared`` counts the wallets on their way, in the batch being activated too."""

    ready: int
    prepared: int
    waiting_users: int


async def insert(transaction: Transaction, wallet: SealedWallet) -> None:
    await transaction.run(_INSERT, **vars(wallet), now=transaction.now)


async def sealed(transaction: Transaction, public_keys: Sequence[str]) -> dict[str, SealedWallet]:
    rows = await transaction.rows(_SEALED, public_keys=list(public_keys))
    return {row["public_key"]: SealedWallet(**row) for row in rows}


async def take_from_stock(transaction: Transaction, user_id: str) -> WalletRecord | None:
    """Give the user a ready wallet; None when the stock is empty."""
    row = await transaction.first(_TAKE, user_id=user_id)
    return WalletRecord(row["id"], "USER", "READY", row["public_key"]) if row else None


async def move(transaction: Transaction, public_keys: Sequence[str], current: str, target: str) -> int:
    return _audited(
        transaction, await transaction.rows(_MOVE, public_keys=list(public_keys), current=current, target=target), current, target
    )


async def mark_ready(transaction: Transaction, public_keys: Sequence[str]) -> int:
    return _audited(transaction, await transaction.rows(_READY, public_keys=list(public_keys), now=transaction.now), "ACTIVATING", "READY")


def _audited(transaction: Transaction, moved: Sequence[Row], current: str, target: str) -> int:
    """Here and not in the commands: only the statement knows which of a batch it moved."""
    for row in moved:
        transaction.audit(f"wallet.{target.lower()}", ("wallet", row["id"]), {"state": current}, {"state": target})
    return len(moved)


async def in_state(transaction: Transaction, kind: str, states: Sequence[str], limit: int) -> list[WalletRecord]:
    rows = await transaction.rows(_IN_STATE, kind=kind, states=list(states), limit=limit)
    return [WalletRecord(**row) for row in rows]


async def platform_accounts(transaction: Transaction) -> list[WalletRecord]:
    return [WalletRecord(**row) for row in await transaction.rows(_PLATFORM)]


async def lock_platform_accounts(transaction: Transaction) -> None:
    """Until the transaction ends nobody else makes keys for the platform or the stock."""
    await transaction.run(_LOCK_PLATFORM)


async def platform_key(transaction: Transaction, kind: str) -> str | None:
    """The ready platform account of a kind that exists once (SPONSOR, FEE, PLATFORM)."""
    row = await transaction.first(_PLATFORM_KEY, kind=kind)
    return row["public_key"] if row else None


async def next_signer(transaction: Transaction) -> str | None:
    row = await transaction.first(_NEXT_SIGNER)
    return row["public_key"] if row else None


async def stock(transaction: Transaction) -> Stock:
    row = await transaction.first(_STOCK)
    assert row is not None, "an aggregate always answers one row"
    return Stock(**row)


async def waiting_users(transaction: Transaction, limit: int) -> list[str]:
    return [row["id"] for row in await transaction.rows(_WAITING, limit=limit)]


async def whose(transaction: Transaction, public_key: str) -> tuple[str, str | None] | None:
    """(kind, user id) of an account that custody holds the key of, retired ones included; None for everybody else's."""
    row = await transaction.first(_WHOSE, public_key=public_key)
    return (row["kind"], row["user_id"]) if row else None


async def owners(transaction: Transaction, public_keys: Sequence[str]) -> dict[str, str | None]:
    """Which of these accounts are our user wallets, and whose (None: still in stock)."""
    rows = await transaction.rows(_OWNERS, public_keys=list(public_keys))
    return {row["public_key"]: row["user_id"] for row in rows}


async def lock_owners(transaction: Transaction, public_keys: Sequence[str]) -> dict[str, str | None]:
    """The same, and what is in stock stays there until the transaction ends: whoever hands out wallets takes another one."""
    found = await owners(transaction, public_keys)
    in_stock = [public_key for public_key, user_id in found.items() if user_id is None]
    if not in_stock:
        return found
    await transaction.rows(_LOCK_STOCK, public_keys=in_stock)
    return found | await owners(transaction, in_stock)
