"""Drain the instance before maintenance: refuse new money, finish what runs. Doing it twice is harmless."""

from __future__ import annotations

from offerhub.domain.events import Event
from offerhub.storage import maintenance
from offerhub.storage.maintenance import Maintenance
from offerhub.storage.unit_of_work import Transaction


async def start_drain(transaction: Transaction, reason: str | None) -> Maintenance:
    """Answers the state; a drain that is under way keeps its reason."""
    if await maintenance.set_draining(transaction, draining=True, reason=reason):
        _tell(transaction, "drain_started", {"draining": False}, {"draining": True, "reason": reason})
    return await maintenance.get(transaction)


async def end_drain(transaction: Transaction) -> Maintenance:
    under_way = await maintenance.get(transaction)
    if await maintenance.set_draining(transaction, draining=False, reason=None):
        _tell(transaction, "drain_ended", {"draining": True, "reason": under_way.reason}, {"draining": False})
    return await maintenance.get(transaction)


def _tell(transaction: Transaction, what: str, before: dict[str, bool | str | None], after: dict[str, bool | str | None]) -> None:
    payload = {"reason": after.get("reason") or before.get("reason"), "changedBy": transaction.context.actor_id}
    transaction.emit(Event(f"maintenance.{what}", "maintenance", payload))
    transaction.audit(f"maintenance.{what}", ("maintenance", "maintenance"), before, after)
