"""Drain the instance before maintenance: refuse new money, finish what runs. Doing it twice is harmless."""

from __future__ import annotations

from offerhub.domain.errors import DomainError, ErrorCode
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


def refusal_while_draining(state: Maintenance) -> DomainError | None:
    """What whoever would move money is told, by whichever door he comes."""
    if not state.draining:
        return None
    because = f": {state.reason}" if state.reason else ""
    message = f"Maintenance{because}. Nothing new is begun; what runs is finished, reads go on. Repeat the request later."
    return DomainError(ErrorCode.MAINTENANCE, message, {"reason": state.reason})
