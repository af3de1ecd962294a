"""Whether new money is refused: one row that every process reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

_GET = text("SELECT draining, reason, changed_by, changed_at FROM maintenance")
_SET = text(
    """
    UPDATE maintenance SET draining = :draining, reason = :reason, changed_by = :changed_by, changed_at = :now
    WHERE draining <> :draining
    """
)


@dataclass(frozen=True)
class Maintenance:
    """``reason`` is that of the drain under way; the rest is None until it was changed for the first time."""

    draining: bool
    reason: str | None = None
    changed_by: str | None = None
    changed_at: datetime | None = None


async def get(transaction: Transaction) -> Maintenance:
    row = await transaction.first(_GET)
    assert row is not None, "written by the migration"
    return Maintenance(**row)


async def set_draining(transaction: Transaction, *, draining: bool, reason: str | None) -> bool:
    """False when it was so already."""
    values = {"draining": draining, "reason": reason, "changed_by": transaction.context.actor_id, "now": transaction.now}
    return await transaction.run(_SET, **values) == 1
