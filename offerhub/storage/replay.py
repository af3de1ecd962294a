"""What the ledger says of one user: his balance at any moment, and the postings that made it.

His accounts are ``available`` and ``reserved``, the escrows of his orders as buyer, and what his withdrawals hold. Postings are counted in
the order they were booked, up to the last one from before a moment: none is counted without those it was built on, whatever the clocks of
several processes said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.ledger import FIGURES, UserBalance
from offerhub.storage.session import Row
from offerhub.storage.unit_of_work import Transaction

_BOOKED = """
    account AS (
        SELECT 'available' AS figure, 'user:' || CAST(:user_id AS text) || '\\:available' AS name
        UNION ALL SELECT 'reserved', 'user:' || CAST(:user_id AS text) || '\\:reserved'
        UNION ALL SELECT 'in_escrow', 'escrow:' || e.id FROM orders o JOIN escrows e ON e.order_id = o.id WHERE o.buyer_id = :user_id
        UNION ALL SELECT 'in_transit', 'transit:' || w.id FROM withdrawals w WHERE w.user_id = :user_id
    ), booked AS (
        SELECT account.figure, account.name, e.posting_id, e.amount, p.created_at
        FROM account JOIN ledger_entries e ON e.account = account.name JOIN ledger_postings p ON p.id = e.posting_id
    )
"""
# An escrow or a withdrawal that holds nothing any more explains nothing.
_REPLAY = text(
    f"""
    WITH {_BOOKED}, moment AS (
        SELECT max(posting_id) AS last FROM booked WHERE CAST(:before AS timestamptz) IS NULL OR created_at < :before
    ), counted AS (
        SELECT booked.*, sum(amount) OVER (PARTITION BY name) AS held FROM booked, moment WHERE posting_id <= last
    ), ranked AS (
        SELECT counted.*, dense_rank() OVER (PARTITION BY figure ORDER BY posting_id DESC) AS place
        FROM counted WHERE held <> 0 OR figure IN ('available', 'reserved')
    )
    SELECT f.* FROM users u LEFT JOIN (
        SELECT figure, sum(amount) AS amount, max(created_at) AS booked_at,
               array_agg(DISTINCT posting_id) FILTER (WHERE place <= :shown) AS postings,
               count(DISTINCT posting_id) FILTER (WHERE place > :shown) AS earlier_postings,
               coalesce(sum(amount) FILTER (WHERE place > :shown), 0) AS earlier_amount
        FROM ranked GROUP BY figure
    ) f ON true WHERE u.id = :user_id
    """  # noqa: S608
)
_SUMS = ", ".join(
    f"coalesce(sum(amount) FILTER (WHERE figure = '{figure}' AND posting_id <= {end}), 0) AS {end}_{figure}"
    for end in ("opening", "closing")
    for figure in FIGURES
)
_PERIOD = text(
    f"""
    WITH {_BOOKED}, period AS (
        SELECT coalesce(max(posting_id) FILTER (WHERE created_at < :start), 0) AS opening,
               coalesce(max(posting_id) FILTER (WHERE CAST(:until AS timestamptz) IS NULL OR created_at < :until), 0) AS closing
        FROM booked
    )
    SELECT {_SUMS}, array_agg(DISTINCT posting_id) FILTER (WHERE posting_id > opening AND posting_id <= closing) AS postings
    FROM users u LEFT JOIN (SELECT * FROM booked, period) b ON true WHERE u.id = :user_id GROUP BY u.id
    """  # noqa: S608
)
_POSTINGS = """
    SELECT p.id, p.kind, p.reference, p.transaction_hash, p.created_at, o.id AS order_id, o.client_order_ref,
           coalesce(d.sender, w.destination, CASE
               -- Money that somebody paid into a contract, or that the platform paid out of its own.
               WHEN change.outside OR (held.order_id IS NULL AND p.reference = op.id) THEN NULL
               WHEN o.buyer_id = :user_id THEN o.seller_id ELSE o.buyer_id END) AS counterparty,
           (SELECT mine.public_key FROM wallets mine WHERE mine.user_id = :user_id) AS account,
           -- The last of these is the platform's, where it makes a buyer whole.
           coalesce(d.sender, w.destination, held.contract_id,
                    (SELECT a.movements -> 0 ->> 'sender' FROM attempts a WHERE a.inner_hash = p.transaction_hash)) AS other_account,
           change.available, change.reserved, change.in_escrow, change.in_transit
    FROM wanted JOIN ledger_postings p ON p.id = wanted.id
    LEFT JOIN deposits d ON d.id = p.reference
    LEFT JOIN withdrawals w ON w.id = p.reference
    LEFT JOIN LATERAL (
        SELECT s.order_id, s.contract_id FROM ledger_entries x JOIN escrows s ON s.id = substr(x.account, 8)
        WHERE x.posting_id = p.id AND x.account LIKE 'escrow:%' LIMIT 1
    ) held ON true
    LEFT JOIN operations op ON op.id = p.reference
    LEFT JOIN orders o ON o.id = coalesce(held.order_id, op.resource_id, p.reference)
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(x.amount) FILTER (WHERE x.account = 'user:' || CAST(:user_id AS text) || '\\:available'), 0) AS available,
               coalesce(sum(x.amount) FILTER (WHERE x.account = 'user:' || CAST(:user_id AS text) || '\\:reserved'), 0) AS reserved,
               coalesce(sum(x.amount) FILTER (WHERE x.account LIKE 'escrow:%' AND o.buyer_id = :user_id), 0) AS in_escrow,
               coalesce(sum(x.amount) FILTER (WHERE x.account LIKE 'transit:%' AND w.user_id = :user_id), 0) AS in_transit,
               bool_or(x.account LIKE 'world:%') AS outside
        FROM ledger_entries x WHERE x.posting_id = p.id
    ) change
"""
_BY_ID = text(f"WITH wanted AS (SELECT unnest(CAST(:ids AS bigint[])) AS id) {_POSTINGS} ORDER BY p.id")
_OF_ACCOUNT = """
    (SELECT e.posting_id FROM ledger_entries e JOIN ledger_postings p ON p.id = e.posting_id
     WHERE e.account = 'user:' || CAST(:user_id AS text) || '\\:{name}' AND e.posting_id < :before AND p.transaction_hash IS NOT NULL
     ORDER BY e.posting_id DESC LIMIT :limit)
"""
_ON_CHAIN = text(
    f"""
    WITH wanted AS (
        SELECT posting_id AS id FROM (
            {_OF_ACCOUNT.format(name="available")} UNION {_OF_ACCOUNT.format(name="reserved")} UNION
            SELECT e.posting_id FROM withdrawals w JOIN ledger_entries e ON e.account = 'transit:' || w.id
            JOIN ledger_postings p ON p.id = e.posting_id
            WHERE w.user_id = :user_id AND e.posting_id < :before AND p.transaction_hash IS NOT NULL
        ) moved ORDER BY posting_id DESC LIMIT :limit
    ) {_POSTINGS} ORDER BY p.id DESC
    """  # noqa: S608
)
_LAST_POSSIBLE_ID = 2**63 - 1


@dataclass(frozen=True)
class UserPosting:
    """One posting as one user sees it: what it changed of each of his figures, in stroops.

    ``counterparty`` is the user on the other side of the order, or the address that money came from or went to. ``account`` is his own
    on the chain, ``other_account`` the account or contract that it moved money with: None in adjustments.
    """

    id: int
    kind: str
    reference: str
    transaction_hash: str | None
    created_at: datetime
    order_id: str | None
    client_order_ref: str | None
    counterparty: str | None
    account: str | None
    other_account: str | None
    available: int
    reserved: int
    in_escrow: int
    in_transit: int

    @property
    def in_wallet(self) -> int:
        """What his account on the chain gained or lost."""
        return self.available + self.reserved + self.in_transit


@dataclass(frozen=True)
class FigureSource:
    """The postings behind one figure: the newest by id, and how many came before them and what they sum to."""

    posting_ids: Sequence[int] = ()
    earlier_postings: int = 0
    earlier_stroops: int = 0


@dataclass(frozen=True)
class Replay:
    """``balance.updated_at`` is None when nothing had been booked yet."""

    balance: UserBalance
    sources: Mapping[str, FigureSource] = field(default_factory=dict)


@dataclass(frozen=True)
class Period:
    """Fixed when it was read: postings are never changed, so the pages read later belong to these balances."""

    opening: UserBalance
    closing: UserBalance
    posting_ids: Sequence[int]


async def replay(reader: Transaction, user_id: str, before: datetime | None, shown: int = 0) -> Replay | None:
    """Sum up the entries from before a moment (None: all of them), with the newest ``shown`` postings of each figure.

    None when there is no such user.
    """
    rows = await reader.rows(_REPLAY, user_id=user_id, before=before, shown=shown)
    if not rows:
        return None
    found = {row["figure"]: row for row in rows if row["figure"] is not None}
    times = [found[name]["booked_at"] for name in ("available", "reserved") if name in found]
    amounts = {name: int(found[name]["amount"]) if name in found else 0 for name in FIGURES}
    sources = {
        name: FigureSource(sorted(row["postings"] or ()), row["earlier_postings"], int(row["earlier_amount"]))
        for name, row in found.items()
    }
    return Replay(UserBalance(**amounts, updated_at=max(times, default=None)), sources)


async def period(reader: Transaction, user_id: str, start: datetime | None, until: datetime | None) -> Period | None:
    """What was booked from ``start`` on and before ``until``. None when there is no such user."""
    row = await reader.first(_PERIOD, user_id=user_id, start=start, until=until)
    if row is None:
        return None
    return Period(_sums(row, "opening"), _sums(row, "closing"), sorted(row["postings"] or ()))


async def postings(reader: Transaction, user_id: str, posting_ids: Sequence[int]) -> list[UserPosting]:
    """In the order they were booked."""
    return [_posting(row) for row in await reader.rows(_BY_ID, user_id=user_id, ids=list(posting_ids))]


async def on_chain(reader: Transaction, user_id: str, before_id: int | None, limit: int) -> list[UserPosting]:
    """The postings that a transaction of his wallet is the evidence of, newest first."""
    before = _LAST_POSSIBLE_ID if before_id is None else before_id
    return [_posting(row) for row in await reader.rows(_ON_CHAIN, user_id=user_id, before=before, limit=limit)]


def _source(row: Row) -> FigureSource:
    return FigureSource(sorted(row["postings"] or ()), row["earlier_postings"], int(row["earlier_amount"]))


def _sums(row: Row, end: str) -> UserBalance:
    available, reserved, in_escrow, in_transit = (int(row[f"{end}_{figure}"]) for figure in FIGURES)
    return UserBalance(available, reserved, in_escrow, in_transit)


def _posting(row: Row) -> UserPosting:
    return UserPosting(**{**row, **{figure: int(row[figure]) for figure in FIGURES}})
