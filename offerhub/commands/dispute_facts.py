"""What every command on a dispute says about it: events, audit entries, and the view for operators."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from offerhub.commands.order_facts import emit_escrow, lock_order, move_escrow, move_order, tell_dispute_workflow
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.messages import DisputeView
from offerhub.domain.money import format_amount
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision, DisputeState, EscrowState, MilestoneState, OrderState, check_dispute_transition
from offerhub.storage import clock, disputes, orders
from offerhub.storage.disputes import DisputeRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import EscrowChange, MilestoneChange, OrderRecord
from offerhub.storage.unit_of_work import Transaction, new_id

_EVENT_OF_STATE = {
    DisputeState.UNDER_REVIEW: "dispute.under_review",
    DisputeState.RESOLVING: "dispute.resolving",
    DisputeState.RESOLVED: "dispute.resolved",
    DisputeState.REFUSED: "dispute.refused",
}


@dataclass(frozen=True)
class AcceptedDispute:
    """A command on a dispute that the chain must carry out: ``operation`` is the one to follow."""

    order: OrderRecord
    dispute: DisputeRecord
    operation: OperationRecord

    @property
    def resource(self) -> DisputeRecord:
        return self.dispute


@dataclass(frozen=True)
class DisputeDeadlines:
    """After how long an undecided dispute is escalated, and decided by default; None: never. Frozen on the dispute when it is opened."""

    escalates_after_s: int | None = None
    decides_after_s: int | None = None
    default_decision: Decision | None = None

    @classmethod
    def configured(cls, escalates_after_s: int, decides_after_s: int, default_decision: str) -> DisputeDeadlines:
        """As the settings have it: 0 and the empty decision mean never."""
        return cls(escalates_after_s or None, decides_after_s or None, Decision(default_decision) if default_decision else None)

    async def put_on(self, transaction: Transaction, dispute: DisputeRecord) -> DisputeRecord:
        """They run from now on."""
        now = await clock.engine_now(transaction)
        decides = self.decides_after_s if self.default_decision is not None else None
        return replace(
            dispute,
            escalates_at=_after(now, self.escalates_after_s),
            decides_at=_after(now, decides),
            default_decision=self.default_decision,
        )


@dataclass(frozen=True)
class Grounds:
    """Who disputes what, and why."""

    opened_by: Party
    reason: str
    description: str | None = None
    milestone_index: int | None = None


def new_dispute(transaction: Transaction, order: OrderRecord, grounds: Grounds, amount_stroops: int) -> DisputeRecord:
    return DisputeRecord(
        id=new_id("dsp"),
        order_id=order.id,
        milestone_index=grounds.milestone_index,
        state=DisputeState.OPEN,
        opened_by=grounds.opened_by.value.upper(),
        reason=grounds.reason,
        description=grounds.description,
        amount=amount_stroops,
        milestone_ref=None if grounds.milestone_index is None else order.milestones[grounds.milestone_index].ref,
        created_at=transaction.now,
        updated_at=transaction.now,
    )


async def lock_dispute(transaction: Transaction, dispute_id: str) -> tuple[OrderRecord, DisputeRecord]:
    """The order first, then the dispute: every command locks in this order."""
    known = await disputes.get(transaction, dispute_id)
    if known is None:
        raise DomainError(ErrorCode.DISPUTE_NOT_FOUND, f"There is no dispute {dispute_id[:64]}.", {"disputeId": dispute_id[:64]})
    order = await lock_order(transaction, known.order_id)
    dispute = await disputes.lock(transaction, dispute_id)
    assert dispute is not None, "disputes are never deleted"
    return order, dispute


async def require_undisputed(transaction: Transaction, order: OrderRecord) -> None:
    """One dispute of an order is open at a time, on per-milestone orders too: raises ``DISPUTE_ALREADY_OPEN``."""
    known = await disputes.lock_open(transaction, order.id)
    if known is not None:
        details = {"orderId": order.id, "disputeId": known.id}
        raise DomainError(ErrorCode.DISPUTE_ALREADY_OPEN, "The order has an open dispute already.", details)


async def dispute_of(transaction: Transaction, operation: OperationRecord) -> DisputeRecord:
    """The dispute an operation is about, locked; its order is locked already."""
    dispute = await disputes.lock(transaction, str(operation.subject.dispute_id))
    if dispute is None:
        raise LookupError(f"operation {operation.id} is about no dispute")
    return dispute


async def move_dispute(
    transaction: Transaction, order: OrderRecord, dispute: DisputeRecord, target: DisputeState, **fields: str | None
) -> DisputeRecord:
    """The guarded transition with its event and audit entry; ``dispute`` already carries what else changes and is written as it is."""
    check_dispute_transition(dispute.state, target)
    moved = replace(dispute, state=target, updated_at=transaction.now)
    await disputes.save(transaction, moved)
    transaction.audit(f"dispute.{target.lower()}", ("dispute", dispute.id), {"state": dispute.state}, {"state": target, **fields})
    emit_dispute(transaction, _EVENT_OF_STATE[target], (order, moved), **fields)
    return moved


def emit_dispute(transaction: Transaction, event_type: str, about: tuple[OrderRecord, DisputeRecord], **fields: str | None) -> None:
    order, dispute = about
    payload = {
        "disputeId": dispute.id,
        "orderId": order.id,
        "status": dispute.state,
        "openedBy": dispute.opened_by,
        "reason": dispute.reason,
        "amount": format_amount(dispute.amount),
        **fields,
    }
    transaction.emit(Event(event_type, dispute.id, payload, (order.buyer_id, order.seller_id)))


async def freeze(transaction: Transaction, order: OrderRecord, dispute: DisputeRecord, transaction_hash: str) -> OrderRecord:
    """The contract (or its milestone) is frozen on the chain; from now on the dispute can be decided."""
    await disputes.save(transaction, replace(dispute, frozen_hash=transaction_hash))
    frozen = order
    if dispute.milestone_index is None:
        frozen = await move_escrow(transaction, order, EscrowState.DISPUTED, EscrowChange(dispute_hash=transaction_hash))
    else:
        await orders.set_milestone(transaction, order.id, dispute.milestone_index, MilestoneChange(MilestoneState.DISPUTED))
        frozen = order.with_milestone(dispute.milestone_index, MilestoneState.DISPUTED)
    emit_escrow(transaction, "escrow.disputed", frozen, transactionHash=transaction_hash, disputeId=dispute.id)
    tell_dispute_workflow(transaction, dispute.id)
    return frozen


async def open_frozen_dispute(
    transaction: Transaction, order: OrderRecord, about: tuple[int | None, str], transaction_hash: str, deadlines: DisputeDeadlines
) -> OrderRecord:
    """A refund froze the contract and could not pay: a dispute is opened so that a person decides. ``about`` is milestone and reason."""
    index, reason = about
    amount = order.amount if index is None else order.milestones[index].amount
    assert amount is not None, "milestones of a per-milestone order have amounts"
    dispute = new_dispute(transaction, order, Grounds(Party.BUYER, "OTHER", f"A refund was refused: {reason}"[:2_000], index), amount)
    dispute = await deadlines.put_on(transaction, dispute)
    await disputes.insert(transaction, dispute)
    emit_dispute(transaction, "dispute.opened", (order, dispute), description=dispute.description)
    transaction.audit("dispute.opened", ("dispute", dispute.id), None, {"orderId": order.id, "reason": dispute.description})
    moved = order if index is not None else await move_order(transaction, order, OrderState.DISPUTED, disputeId=dispute.id)
    return await freeze(transaction, moved, dispute, transaction_hash)


def dispute_view(order: OrderRecord, dispute: DisputeRecord) -> DisputeView:
    deadline = dispute_deadline(dispute)
    return DisputeView(
        dispute_id=dispute.id,
        order_id=order.id,
        state=dispute.state,
        opened_by=dispute.opened_by,
        reason=dispute.reason,
        amount=format_amount(dispute.amount),
        amount_stroops=dispute.amount,
        milestone_ref=dispute.milestone_ref or "",
        frozen_hash=dispute.frozen_hash or "",
        contract_id=(order.the_escrow.contract_id or "") if order.escrow else "",
        assigned_to=dispute.assigned_to or "",
        decision=dispute.decision or "",
        resolved_by=dispute.resolved_by or "",
        resolution_hash=dispute.resolution_hash or "",
        deadline=deadline[0] if deadline else "",
        deadline_unix=int(deadline[1].timestamp()) if deadline else 0,
    )


def dispute_deadline(dispute: DisputeRecord) -> tuple[str, datetime] | None:
    """What happens by itself while nobody decides, and when."""
    if dispute.state not in (DisputeState.OPEN, DisputeState.UNDER_REVIEW):
        return None
    due = [("it is escalated", dispute.escalates_at)] if dispute.escalated_at is None else []
    due.append((f"{dispute.default_decision} by default", dispute.decides_at))
    known = [(what, when) for what, when in due if when is not None]
    return min(known, key=lambda one: one[1]) if known else None


def _after(now: datetime, seconds: int | None) -> datetime | None:
    return None if seconds is None else now + timedelta(seconds=seconds)
