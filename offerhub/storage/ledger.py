"""Postings, entries and the cached balances that are their sums."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.ledger import Posting
from offerhub.storage.unit_of_work import Transaction

_POSTING = """WITH posting AS (
        INSERT INTO ledger_postings (reference, kind, transaction_hash, created_at)
        VALUES (:reference, :kind, :transaction_hash, :now)
        {on_conflict}
        RETURNING id
    ), entry AS (
        SELECT posting.id AS posting_id, e.account, e.amount
        FROM posting, unnest(CAST(:accounts AS text[]), CAST(:amounts AS bigint[])) AS e(account, amount)
    ), written AS (
        INSERT INTO ledger_entries (posting_id, account, amount) SELECT posting_id, account, amount FROM entry
    ), changed AS (
        UPDATE account_balances b SET balance = b.balance + delta.amount, updated_at = :now
        FROM (SELECT account, sum(amount) AS amount FROM entry GROUP BY account) delta
        WHERE b.account = delta.account
        RETURNING b.account, b.balance
    )"""
_POST = text(
    f"""{_POSTING.format(on_conflict="ON CONFLICT (reference, kind) DO NOTHING")}
    SELECT found.account, found.balance FROM posting LEFT JOIN (
        SELECT account, balance FROM changed
        UNION ALL SELECT account, balance FROM account_balances WHERE account = ANY(CAST(:beside AS text[]))
    ) found ON true
    """  # noqa: S608
)
_POST_ON_LOCKED = text(f"{_POSTING.format(on_conflict='')} SELECT FROM changed")
_OPEN = text(
    """
    INSERT INTO account_balances (account, balance, updated_at)
    SELECT account, 0, :now FROM unnest(CAST(:accounts AS text[])) AS account
    ON CONFLICT (account) DO NOTHING
    """
)
_BALANCE = text("SELECT balance FROM account_balances WHERE account = :account")
# In the order of their names, so that no two transactions wait for each other in a circle.
_LOCK = text("SELECT account, balance FROM account_balances WHERE account = ANY(:accounts) ORDER BY account FOR UPDATE")


FIGURES = ("available", "reserved", "in_escrow", "in_transit")


@dataclass(frozen=True)
class UserBalance:
    """One user's books, in stroops.

    ``in_escrow`` is what his orders as buyer hold in contracts, ``in_transit`` what his withdrawals hold.
    """

    available: int
    reserved: int
    in_escrow: int
    in_transit: int
    updated_at: datetime | None = None

    @property
    def in_wallet(self) -> int:
        """What his account has on the chain while nothing is moving."""
        return self.available + self.reserved + self.in_transit


async def post(transaction: Transaction, posting: Posting, also: Collection[str] = ()) -> dict[str, int] | None:
    """Book a posting; returns the new balances of its accounts, or None when ``(reference, kind)`` is booked already. The accounts in
    ``also`` are locked together with them, and their balances returned too.

    An account that would fall below zero raises the database's check violation (``account_not_negative``); one that was never
    opened raises ``LedgerMismatchError``.
    """
    own = {entry.account for entry in posting.entries}
    # A statement of its own: the next one begins when the accounts are ours and sees what whoever held them has left.
    lock(transaction, own.union(also))
    rows = await transaction.rows(_POST, **_values(posting), beside=[*set(also) - own], now=transaction.now)
    if not rows:
        return None
    balances = {row["account"]: row["balance"] for row in rows}
    if balances.keys() != own.union(also):
        raise LedgerMismatchError(f"posting {posting.reference}/{posting.kind} names an account that was never opened")
    return balances


def post_on_locked(transaction: Transaction, posting: Posting, balances: Mapping[str, int]) -> dict[str, int]:
    """The same where this transaction holds the posting's accounts, with these balances: it goes with what is asked next. Booked already,
    the transaction fails.
    """
    transaction.send(_POST_ON_LOCKED, **_values(posting), now=transaction.now)
    after = dict(balances)
    for entry in posting.entries:
        after[entry.account] += entry.amount_stroops
    return after


def _values(posting: Posting) -> dict[str, object]:
    return {
        "reference": posting.reference,
        "kind": posting.kind,
        "transaction_hash": posting.transaction_hash,
        "accounts": [entry.account for entry in posting.entries],
        "amounts": [entry.amount_stroops for entry in posting.entries],
    }


async def open_accounts(transaction: Transaction, accounts: Sequence[str]) -> None:
    """Create the accounts at zero; a posting may only name accounts that exist."""
    await transaction.run(_OPEN, accounts=list(accounts), now=transaction.now)


def lock(transaction: Transaction, accounts: Iterable[str]) -> None:
    """From the next statement on, until the transaction ends."""
    transaction.send(_LOCK, accounts=list(accounts))


async def lock_balances(transaction: Transaction, accounts: Sequence[str]) -> dict[str, int]:
    """Balances, locked until the transaction ends; accounts never used are 0."""
    rows = await transaction.rows(_LOCK, accounts=list(accounts))
    return dict.fromkeys(accounts, 0) | {row["account"]: row["balance"] for row in rows}


async def balance(transaction: Transaction, account: str) -> int:
    """As it is at this moment; 0 for an account never used."""
    row = await transaction.first(_BALANCE, account=account)
    return int(row["balance"]) if row else 0


# Of the user ``u.id``; whoever reads users can read their balances in the same statement.
BALANCE_COLUMNS = """coalesce(a.balance, 0) AS available, coalesce(r.balance, 0) AS reserved,
    coalesce((SELECT sum(b.balance) FROM orders o JOIN escrows e ON e.order_id = o.id
              JOIN account_balances b ON b.account = 'escrow:' || e.id
              WHERE o.buyer_id = u.id AND o.state <> 'CLOSED'), 0) AS in_escrow,
    coalesce((SELECT sum(b.balance) FROM withdrawals d JOIN account_balances b ON b.account = 'transit:' || d.id
              WHERE d.user_id = u.id AND d.finished_at IS NULL), 0) AS in_transit,
    greatest(a.updated_at, r.updated_at) AS balance_updated_at"""
BALANCE_JOINS = """LEFT JOIN account_balances a ON a.account = 'user:' || u.id || '\\:available'
    LEFT JOIN account_balances r ON r.account = 'user:' || u.id || '\\:reserved'"""
_USERS = text(
    f"SELECT u.id AS user_id, {BALANCE_COLUMNS} FROM unnest(CAST(:user_ids AS text[])) AS u(id) {BALANCE_JOINS}"  # noqa: S608
)
_USER = text(f"SELECT {BALANCE_COLUMNS} FROM users u {BALANCE_JOINS} WHERE u.id = :user_id")  # noqa: S608


def taken_balance(row: dict[str, Any]) -> UserBalance:
    """The balance out of a row read with ``BALANCE_COLUMNS``, which is left without them."""
    figures = {name: int(row.pop(name)) for name in FIGURES}
    return UserBalance(**figures, updated_at=row.pop("balance_updated_at"))


async def user_balances(transaction: Transaction, user_ids: Sequence[str]) -> dict[str, UserBalance]:
    """By user id; users without accounts have nothing."""
    return {row["user_id"]: taken_balance(dict(row)) for row in await transaction.rows(_USERS, user_ids=list(user_ids))}


async def user_balance(transaction: Transaction, user_id: str) -> UserBalance:
    return (await user_balances(transaction, (user_id,)))[user_id]


async def balance_of(transaction: Transaction, user_id: str) -> UserBalance | None:
    """None when there is no such user."""
    row = await transaction.first(_USER, user_id=user_id)
    return taken_balance(dict(row)) if row else None


_DRIFT = text(
    """
    SELECT coalesce(b.account, e.account) AS account, coalesce(b.balance, 0) AS cached, coalesce(e.total, 0) AS entries
    FROM account_balances b
    FULL JOIN (SELECT account, sum(amount) AS total FROM ledger_entries GROUP BY account) e ON e.account = b.account
    WHERE coalesce(b.balance, 0) <> coalesce(e.total, 0)
    """
)


_COUNT = text("SELECT count(*) AS accounts FROM account_balances")


async def cache_drift(transaction: Transaction) -> list[tuple[str, int, int]]:
    """Accounts whose cached balance is not the sum of their entries: (account, cached, entries). Must be empty."""
    return [(row["account"], int(row["cached"]), int(row["entries"])) for row in await transaction.rows(_DRIFT)]


async def count_accounts(transaction: Transaction) -> int:
    row = await transaction.first(_COUNT)
    return int(row["accounts"]) if row else 0
