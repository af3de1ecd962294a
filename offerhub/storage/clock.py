"""The engine's clock: what deadlines are compared with. The wall clock, or ahead of it where a sandbox's clock was advanced."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_AHEAD = text("SELECT ahead_s FROM engine_clock")
_SET_AHEAD = text("UPDATE engine_clock SET ahead_s = :ahead_s WHERE ahead_s < :ahead_s")
# While an operation runs nothing is done by itself, however long it takes; its end is told, and found here. While the instance is drained
# nobody is paid by itself; the end of the drain is found here.
_PASSED_ORDERS = text(
    """
    SELECT passed.id FROM (
        SELECT id FROM orders
        WHERE state <> 'CLOSED' AND state IN ('FUNDS_RESERVED', 'ESCROW_FUNDING') AND reservation_expires_at <= :now
          AND reservation_expires_at > :since
        UNION SELECT id FROM orders WHERE state = 'IN_PROGRESS' AND auto_release_at <= :now AND auto_release_at > :since
                                             AND NOT (SELECT draining FROM maintenance)) passed
    WHERE NOT EXISTS (SELECT 1 FROM operations p WHERE p.resource_id = passed.id AND p.status IN ('PENDING', 'RUNNING'))
    """
)
_PASSED_DISPUTES = text(
    """
    SELECT id FROM disputes
    WHERE state IN ('OPEN', 'UNDER_REVIEW') AND escalated_at IS NULL AND escalates_at <= :now AND escalates_at > :since
    UNION SELECT id FROM disputes d
    WHERE state IN ('OPEN', 'UNDER_REVIEW') AND decides_at <= :now AND decides_at > :since AND NOT (SELECT draining FROM maintenance)
      AND NOT EXISTS (SELECT 1 FROM operations p WHERE p.resource_id = d.order_id AND p.status IN ('PENDING', 'RUNNING'))
    """
)
WATCHING_LOCK = 0x0FFE_0006
_TRY_WATCHING = text("SELECT pg_try_advisory_xact_lock(:key) AS locked")


async def is_mine_to_watch(transaction: Transaction) -> bool:
    """Of several that would look for passed deadlines one at a time does, until its transaction ends."""
    row = await transaction.first(_TRY_WATCHING, key=WATCHING_LOCK)
    return bool(row and row["locked"])


async def engine_now(transaction: Transaction) -> datetime:
    row = await transaction.first(_AHEAD)
    return transaction.now + timedelta(seconds=row["ahead_s"] if row else 0)


async def set_ahead(transaction: Transaction, ahead_s: int) -> bool:
    """The clock never goes back; False when it is this far ahead already."""
    return await transaction.run(_SET_AHEAD, ahead_s=ahead_s) == 1


async def passed_orders(transaction: Transaction, since: datetime, now: datetime) -> list[str]:
    """Orders with a deadline in (since, now]."""
    return [row["id"] for row in await transaction.rows(_PASSED_ORDERS, since=since, now=now)]


async def passed_disputes(transaction: Transaction, since: datetime, now: datetime) -> list[str]:
    return [row["id"] for row in await transaction.rows(_PASSED_DISPUTES, since=since, now=now)]
