"""What the books say the chain holds, account by account, at one moment: the yardstick of a reconciliation."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text

from offerhub.domain.plans import OperationKind
from offerhub.storage.unit_of_work import Transaction

# Users with work in flight: their money may have moved on the chain and not yet in the books.
_IN_MOTION = """
    SELECT unnest(ARRAY[o.buyer_id, o.seller_id]) AS user_id
    FROM operations p JOIN orders o ON o.id = p.resource_id WHERE p.status IN ('PENDING', 'RUNNING')
    UNION SELECT w.user_id FROM withdrawals w WHERE w.finished_at IS NULL
    UNION SELECT w.user_id FROM attempts a JOIN wallets w ON w.public_key = a.source WHERE a.state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN')
"""
_SELECT_WALLETS = f"""
    WITH moving AS ({_IN_MOTION})
    SELECT w.id, w.public_key, w.user_id, w.user_id IN (SELECT user_id FROM moving WHERE user_id IS NOT NULL) AS in_motion,
           coalesce(a.balance, 0) + coalesce(r.balance, 0)
           + coalesce((SELECT sum(b.balance) FROM withdrawals d JOIN account_balances b ON b.account = 'transit:' || d.id
                       WHERE d.user_id = w.user_id AND d.finished_at IS NULL), 0)
           + coalesce((SELECT sum(d.amount) FROM deposits d WHERE d.recipient = w.public_key AND d.status = 'HELD'), 0) AS booked
    FROM wallets w
    LEFT JOIN account_balances a ON a.account = 'user:' || w.user_id || '\\:available'
    LEFT JOIN account_balances r ON r.account = 'user:' || w.user_id || '\\:reserved'
    WHERE w.kind = 'USER' AND w.state = 'READY'
"""  # noqa: S608
_PAGE = text(f"{_SELECT_WALLETS} AND w.id > :after ORDER BY w.id LIMIT :limit")
_WALLETS = text(f"{_SELECT_WALLETS} AND w.id = ANY(:ids)")
_OF_USER = text(f"{_SELECT_WALLETS} AND w.user_id = :user_id")
# A contract never ends, so that somebody can pay into one for ever; the closed ones are looked at for a month.
_SELECT_ESCROWS = """
    SELECT e.id, e.contract_id, coalesce(b.balance, 0) AS booked,
           EXISTS (SELECT 1 FROM operations p WHERE p.resource_id = e.order_id AND p.status IN ('PENDING', 'RUNNING')) AS in_motion
    FROM escrows e JOIN orders o ON o.id = e.order_id LEFT JOIN account_balances b ON b.account = 'escrow:' || e.id
    WHERE e.contract_id IS NOT NULL AND (o.state <> 'CLOSED' OR b.balance <> 0 OR o.closed_at > now() - interval '30 days')
"""
_ESCROW_PAGE = text(f"{_SELECT_ESCROWS} AND e.id > :after ORDER BY e.id LIMIT :limit")
_ESCROWS = text(f"{_SELECT_ESCROWS} AND e.id = ANY(:ids)")
_REVENUE = text(
    """
    SELECT (SELECT balance FROM account_balances WHERE account = 'platform:revenue') AS booked,
           EXISTS (SELECT 1 FROM operations WHERE status IN ('PENDING', 'RUNNING') AND kind = ANY(:kinds)) AS in_motion
    """
)
# What pays the platform its fee, or is paid out of it.
_MOVING_REVENUE = [
    *(OperationKind.RELEASE, OperationKind.MILESTONE_RELEASE, OperationKind.REFUND, OperationKind.DISPUTE_RESOLUTION),
    *(OperationKind.REMAINDER, OperationKind.COMPENSATION),
]
_OVERDUE = text(
    """
    SELECT a.id, a.intent_id, a.source, a.inner_hash, a.state, a.submissions, a.max_time, a.reason, w.user_id
    FROM attempts a LEFT JOIN wallets w ON w.public_key = a.source
    WHERE a.state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN') AND a.max_time < :before AND a.id > :after ORDER BY a.id LIMIT :limit
    """
)
# Deposits are known by their operation: one transaction may hold several, to several users.
_BOOKED_HASHES = text(
    """
    SELECT DISTINCT p.transaction_hash FROM ledger_postings p JOIN ledger_entries e ON e.posting_id = p.id
    WHERE p.transaction_hash = ANY(:hashes) AND p.kind <> 'deposit'
      AND (e.account IN ('user:' || :user_id || '\\:available', 'user:' || :user_id || '\\:reserved')
           OR e.account IN (SELECT 'transit:' || d.id FROM withdrawals d WHERE d.user_id = :user_id))
    """
)


@dataclass(frozen=True)
class Booked:
    """``stroops`` is what the chain should hold. ``address`` is the account or contract, ``in_motion`` that work is in flight."""

    id: str
    address: str
    stroops: int
    in_motion: bool
    user_id: str | None = None


@dataclass(frozen=True)
class OverdueAttempt:
    id: str
    intent_id: str
    source: str
    inner_hash: str
    state: str
    submissions: int
    max_time: int
    reason: str | None
    user_id: str | None


async def wallet_page(transaction: Transaction, after: str, limit: int) -> list[Booked]:
    return [_wallet(dict(row)) for row in await transaction.rows(_PAGE, after=after, limit=limit)]


async def wallets(transaction: Transaction, ids: list[str]) -> dict[str, Booked]:
    return {row["id"]: _wallet(dict(row)) for row in await transaction.rows(_WALLETS, ids=ids)}


async def wallet_of(transaction: Transaction, user_id: str) -> Booked | None:
    row = await transaction.first(_OF_USER, user_id=user_id)
    return _wallet(dict(row)) if row else None


async def escrow_page(transaction: Transaction, after: str, limit: int) -> list[Booked]:
    return [_escrow(dict(row)) for row in await transaction.rows(_ESCROW_PAGE, after=after, limit=limit)]


async def escrows(transaction: Transaction, ids: list[str]) -> dict[str, Booked]:
    return {row["id"]: _escrow(dict(row)) for row in await transaction.rows(_ESCROWS, ids=ids)}


async def revenue(transaction: Transaction, account: str) -> Booked:
    row = await transaction.first(_REVENUE, kinds=_MOVING_REVENUE)
    assert row is not None, "two subqueries always answer one row"
    return Booked("platform:revenue", account, int(row["booked"] or 0), row["in_motion"])


async def overdue_attempts(transaction: Transaction, before: int, after: str, limit: int) -> list[OverdueAttempt]:
    """Envelopes that can no longer be applied, or were, and still have no outcome here."""
    return [OverdueAttempt(**row) for row in await transaction.rows(_OVERDUE, before=before, after=after, limit=limit)]


async def booked_hashes(transaction: Transaction, user_id: str, hashes: list[str]) -> set[str]:
    """Which of these transactions a posting on this user's money rests on, deposits aside."""
    return {row["transaction_hash"] for row in await transaction.rows(_BOOKED_HASHES, user_id=user_id, hashes=hashes)}


def _wallet(row: dict[str, object]) -> Booked:
    return Booked(str(row["id"]), str(row["public_key"]), int(str(row["booked"])), bool(row["in_motion"]), _text(row["user_id"]))


def _escrow(row: dict[str, object]) -> Booked:
    return Booked(str(row["id"]), str(row["contract_id"]), int(str(row["booked"])), bool(row["in_motion"]))


def _text(value: object) -> str | None:
    return None if value is None else str(value)
