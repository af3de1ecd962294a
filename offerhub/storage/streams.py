"""Where reading a stream of the chain goes on, which chain it was, and whether it was stopped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from offerhub.domain.payments import Anchor
from offerhub.storage.unit_of_work import Transaction

_GET = text("SELECT cursor, anchor_ledger, anchor_hash, halted_reason, halted_at, updated_at FROM stream_cursors WHERE name = :name")
# Paging tokens are numbers in text. A late or repeated record never moves the position back.
_ADVANCE = text(
    """
    INSERT INTO stream_cursors (name, cursor, updated_at) VALUES (:name, :cursor, :now)
    ON CONFLICT (name) DO UPDATE SET
        cursor = CAST(greatest(CAST(stream_cursors.cursor AS bigint), CAST(excluded.cursor AS bigint)) AS text),
        updated_at = excluded.updated_at
    """
)
_ANCHOR = text("UPDATE stream_cursors SET anchor_ledger = :ledger, anchor_hash = :hash WHERE name = :name")
_HALT = text(
    """
    UPDATE stream_cursors SET halted_reason = :reason, halted_at = coalesce(halted_at, :now) WHERE name = :name
    RETURNING halted_at = :now AS is_news
    """
)
_RESUME = text("UPDATE stream_cursors SET halted_reason = NULL, halted_at = NULL WHERE name = :name AND halted_reason IS NOT NULL")


@dataclass(frozen=True)
class StreamState:
    cursor: str
    anchor: Anchor | None
    halted_reason: str | None
    halted_at: datetime | None
    updated_at: datetime


async def get(transaction: Transaction, name: str) -> StreamState | None:
    row = await transaction.first(_GET, name=name)
    if row is None:
        return None
    anchor = Anchor(row["anchor_ledger"], row["anchor_hash"]) if row["anchor_hash"] else None
    return StreamState(row["cursor"], anchor, row["halted_reason"], row["halted_at"], row["updated_at"])


async def advance(transaction: Transaction, name: str, position: str) -> None:
    await transaction.run(_ADVANCE, name=name, cursor=position, now=transaction.now)


async def set_anchor(transaction: Transaction, name: str, anchor: Anchor) -> None:
    await transaction.run(_ANCHOR, name=name, ledger=anchor.ledger, hash=anchor.hash)


async def halt(transaction: Transaction, name: str, reason: str) -> bool:
    """False when it stands still already; the reason, which may name a moving ledger, is kept up to date."""
    row = await transaction.first(_HALT, name=name, reason=reason, now=transaction.now)
    return row is not None and bool(row["is_news"])


async def resume(transaction: Transaction, name: str) -> bool:
    """False when it was not stopped."""
    return await transaction.run(_RESUME, name=name) == 1
