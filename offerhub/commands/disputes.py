"""Open a dispute, put somebody in charge of it, and keep what the parties say: until it is decided (``resolution.py``)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import orjson

from offerhub.commands.dispute_facts import (
    AcceptedDispute,
    DisputeDeadlines,
    Grounds,
    dispute_of,
    dispute_view,
    emit_dispute,
    freeze,
    lock_dispute,
    move_dispute,
    new_dispute,
    require_undisputed,
)
from offerhub.commands.order_facts import accept, disputed_part, gross_of, lock_order, move_order, require_idle, tell_dispute_workflow
from offerhub.domain.messages import DisputeView, Refusal
from offerhub.domain.plans import OperationKind, Party, Subject
from offerhub.domain.states import SETTLED_MILESTONES, DisputeState, MilestoneState, OrderState, invalid_state, require_order_state
from offerhub.storage import disputes, operations
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.disputes import DisputeEntry, DisputeRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction, new_id

_UNDECIDED = (DisputeState.OPEN, DisputeState.UNDER_REVIEW)
_ENDED = (DisputeState.RESOLVED, DisputeState.REFUSED)


@dataclass(frozen=True)
class OpenDispute:
    order_id: str
    opened_by: Party
    reason: str
    description: str | None = None
    evidence: tuple[str, ...] = ()
    milestone_ref: str | None = None


async def open_dispute(transaction: Transaction, wanted: OpenDispute, deadlines: DisputeDeadlines) -> AcceptedDispute:
    """``IN_PROGRESS → DISPUTED``; the contract is frozen on the chain at once. Raises ``DISPUTE_ALREADY_OPEN``, ``INVALID_STATE``.

    On a per-milestone order the milestone is disputed and the order stays in progress.
    """
    order = await lock_order(transaction, wanted.order_id)
    await require_undisputed(transaction, order)
    index = disputed_part(order, wanted.milestone_ref)
    require_order_state(order.state, OrderState.IN_PROGRESS)
    require_idle(order)
    if index is not None and order.milestones[index].state in SETTLED_MILESTONES:
        disputable = [state.value for state in MilestoneState if state not in SETTLED_MILESTONES]
        raise invalid_state("milestone", order.milestones[index].state, disputable)
    grounds = Grounds(wanted.opened_by, wanted.reason, wanted.description, index)
    dispute = new_dispute(transaction, order, grounds, gross_of(order, index))
    dispute = await deadlines.put_on(transaction, dispute)
    await disputes.insert(transaction, dispute)
    after = {"orderId": order.id, "openedBy": dispute.opened_by, "reason": dispute.reason}
    transaction.audit("dispute.opened", ("dispute", dispute.id), None, after)
    emit_dispute(transaction, "dispute.opened", (order, dispute), milestoneRef=wanted.milestone_ref, description=wanted.description)
    for text in wanted.evidence:
        await _record(transaction, (order, dispute), DisputeNote("EVIDENCE", dispute.opened_by, {"text": text}))
    moved = order if index is not None else await move_order(transaction, order, OrderState.DISPUTED, disputeId=dispute.id)
    subject = Subject(milestone_index=index, per_milestone=index is not None, opened_by=wanted.opened_by, dispute_id=dispute.id)
    return AcceptedDispute(moved, dispute, await accept(transaction, moved, OperationKind.DISPUTE_OPENING, subject))


async def book_dispute(transaction: Transaction, order: OrderRecord, operation: OperationRecord, frozen: AttemptRecord) -> OrderRecord:
    """The contract is frozen: the dispute can be decided."""
    dispute = await dispute_of(transaction, operation)
    booked = await freeze(transaction, order, dispute, frozen.inner_hash)
    await operations.finish(transaction, operation.id)
    return booked


async def undo_dispute(transaction: Transaction, order: OrderRecord, operation: OperationRecord, refusal: Refusal) -> OrderRecord:
    """The contract would not be frozen: there is nothing to decide and the order goes on."""
    dispute = await dispute_of(transaction, operation)
    await move_dispute(transaction, order, dispute, DisputeState.REFUSED, code=refusal.code, message=refusal.message)
    tell_dispute_workflow(transaction, dispute.id)
    if dispute.milestone_index is not None:
        return order
    return await move_order(transaction, order, OrderState.IN_PROGRESS)


async def assign_dispute(transaction: Transaction, dispute_id: str, assigned_to: str, notes: str | None) -> DisputeRecord:
    """``OPEN → UNDER_REVIEW``; assigned again, somebody else takes it over."""
    order, dispute = await lock_dispute(transaction, dispute_id)
    if dispute.state not in _UNDECIDED:
        raise invalid_state("dispute", dispute.state, [state.value for state in _UNDECIDED])
    assigned = replace(dispute, assigned_to=assigned_to, notes=notes if notes is not None else dispute.notes)
    moved = await move_dispute(transaction, order, assigned, DisputeState.UNDER_REVIEW, assignedTo=assigned_to)
    tell_dispute_workflow(transaction, dispute.id)
    return moved


@dataclass(frozen=True)
class DisputeNote:
    """``kind`` is EVIDENCE or MESSAGE; ``content`` is kept as it is given."""

    kind: str
    author: str
    content: dict[str, Any]


async def add_to_dispute(transaction: Transaction, dispute_id: str, note: DisputeNote) -> DisputeEntry:
    """Append evidence or a message, until the dispute has ended. Nothing is ever changed or taken back."""
    order, dispute = await lock_dispute(transaction, dispute_id)
    if dispute.state in _ENDED:
        raise invalid_state("dispute", dispute.state, [state.value for state in DisputeState if state not in _ENDED])
    return await _record(transaction, (order, dispute), note)


async def look_at_dispute(transaction: Transaction, dispute_id: str) -> DisputeView:
    """What the dispute's workflow shows to operators."""
    return dispute_view(*await lock_dispute(transaction, dispute_id))


def content_hash(author: str, content: dict[str, Any]) -> str:
    """sha256 of the JSON of author and content with sorted keys, so that anybody can check what was said."""
    return hashlib.sha256(orjson.dumps({"author": author, "content": content}, option=orjson.OPT_SORT_KEYS)).hexdigest()


async def _record(transaction: Transaction, about: tuple[OrderRecord, DisputeRecord], note: DisputeNote) -> DisputeEntry:
    dispute = about[1]
    hashed = content_hash(note.author, note.content)
    entry = DisputeEntry(new_id("dsr"), dispute.id, note.kind, note.author, note.content, hashed, transaction.now)
    await disputes.add_entry(transaction, entry)
    facts = {"recordId": entry.id, "kind": note.kind, "author": note.author, "contentHash": hashed}
    transaction.audit("dispute.record_added", ("dispute", dispute.id), None, facts)
    emit_dispute(transaction, "dispute.evidence_added", about, **facts)
    return entry
