"""The life of an operation between its acceptance and its booking, as the order's workflow drives it."""

from __future__ import annotations

from dataclasses import replace

from offerhub.commands.checkout import book_checkout, undo_checkout
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.disputes import book_dispute, undo_dispute
from offerhub.commands.escrow_creation import book_escrow_created, undo_escrow_creation
from offerhub.commands.escrow_funding import book_funding, undo_funding
from offerhub.commands.milestones import book_completion, reschedule_after_refusal, schedule_next
from offerhub.commands.operation_facts import confirmed_attempt, emit_mismatch, fail_operation, get_operation, is_finished
from offerhub.commands.order_facts import deadline_of, emit_order, lock_order, tell_order_workflow, view
from offerhub.commands.refund import book_compensation, book_refund, undo_refund
from offerhub.commands.release import book_release, undo_release
from offerhub.commands.remainder import book_remainder
from offerhub.commands.resolution import book_resolution, undo_resolution
from offerhub.domain.events import Event
from offerhub.domain.messages import Acceptance, OperationPlan, OrderView, PlannedStep, Refusal
from offerhub.domain.money import format_amount
from offerhub.domain.plans import Action, OperationKind, Party, Step, intent_id, plan
from offerhub.domain.states import AttemptState, OrderState
from offerhub.storage import attempts, clock, operations, users, wallets
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

_K = OperationKind
_BOOK = {
    _K.ESCROW_CREATION: book_escrow_created,
    _K.ESCROW_FUNDING: book_funding,
    _K.CHECKOUT: book_checkout,
    _K.MILESTONE_COMPLETION: book_completion,
    _K.MILESTONE_RELEASE: book_release,
    _K.RELEASE: book_release,
    _K.REFUND: book_refund,
    _K.DISPUTE_OPENING: book_dispute,
    _K.DISPUTE_RESOLUTION: book_resolution,
    _K.REMAINDER: book_remainder,
    _K.COMPENSATION: book_compensation,
}
# The others changed nothing when they were accepted.
_UNDO = {
    _K.ESCROW_CREATION: undo_escrow_creation,
    _K.ESCROW_FUNDING: undo_funding,
    _K.CHECKOUT: undo_checkout,
    _K.RELEASE: undo_release,
    _K.DISPUTE_OPENING: undo_dispute,
    _K.DISPUTE_RESOLUTION: undo_resolution,
}
_NEVER = DisputeDeadlines()
_DOING = {
    Action.DEPLOY: "deploy escrow",
    Action.FUND: "fund escrow",
    Action.COMPLETE_MILESTONE: "complete milestone {number}",
    Action.APPROVE_MILESTONE: "approve milestone {number}",
    Action.RELEASE: "release",
    Action.DISPUTE_BY_BUYER: "freeze escrow",
    Action.DISPUTE_BY_SELLER: "freeze escrow",
    Action.RESOLVE: "resolve dispute",
    Action.WITHDRAW_REMAINING: "withdraw what remains",
    Action.COMPENSATE: "make the buyer whole",
}


async def begin_operation(transaction: Transaction, operation_id: str) -> OperationPlan:
    """Mark the operation running and lay out the steps that are still to be done. No steps when it is finished already."""
    operation = await get_operation(transaction, operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation):
        return OperationPlan(operation.id, operation.kind, view(order))
    await operations.start(transaction, operation.id)
    steps = [_planned(order, operation, step) for step in _steps_left(order, operation)]
    return OperationPlan(operation.id, operation.kind, view(order), steps, operation.workflow_id)


async def book_operation(transaction: Transaction, operation_id: str, accepted: Acceptance | None = None) -> OrderView:
    """Book the outcome of the steps applied so far; repeated calls change nothing.

    ``accepted``: a person has it booked that the contract took other fees than promised. Raises ``LedgerMismatchError``; then nothing is
    booked (see ``report_mismatch``).
    """
    operation = await get_operation(transaction, operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation):
        return view(order)
    if accepted:
        subject = replace(operation.subject, accepted_mismatch=accepted.mismatch, accepted_note=accepted.note)
        operation = replace(operation, details=subject.to_json())
        await operations.set_subject(transaction, operation.id, operation.subject)
    decisive = _decisive_step(order, operation)
    if decisive.action is Action.FUND and operation.kind == _K.CHECKOUT and not await _is_applied(transaction, operation, decisive):
        # Its deployment was booked by an earlier call whose answer was lost; the funding comes next.
        return view(order)
    applied = await confirmed_attempt(transaction, operation.id, decisive)
    booked = await _BOOK[OperationKind(operation.kind)](transaction, order, operation, applied)
    return view(await _with_what_is_due(transaction, await schedule_next(transaction, order, booked)))


async def refuse_operation(transaction: Transaction, refusal: Refusal, deadlines: DisputeDeadlines = _NEVER) -> OrderView | None:
    """The chain, the contract or our own comparison said no: operation FAILED, order back where the marketplace can act.

    None, and nothing changed, when an envelope of the operation may still apply or its decisive step has applied: then it is not over.
    ``deadlines`` are for the dispute that a refund may leave behind.
    """
    operation = await get_operation(transaction, refusal.operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation):
        return view(order)
    if await _may_still_happen(transaction, order, operation):
        return None
    await fail_operation(transaction, refusal)
    kind = OperationKind(operation.kind)
    if kind is _K.REFUND:
        restored = await undo_refund(transaction, order, operation, refusal, deadlines)
    else:
        undo = _UNDO.get(kind)
        restored = await undo(transaction, order, operation, refusal) if undo is not None else order
    restored = await schedule_next(transaction, order, restored)
    restored = await reschedule_after_refusal(transaction, restored, kind)
    fields = {"operationId": operation.id, "code": refusal.code, "message": refusal.message}
    emit_order(transaction, "order.operation_failed", restored, **fields)
    tell_order_workflow(transaction, order.id)
    return view(restored)


async def report_mismatch(transaction: Transaction, operation_id: str, sentence: str) -> OrderView:
    operation = await get_operation(transaction, operation_id)
    order = await lock_order(transaction, operation.resource_id)
    emit_mismatch(transaction, operation.id, sentence)
    return view(order)


async def report_refused_signature(transaction: Transaction, operation_id: str, intent: str, difference: tuple[str, str, str]) -> None:
    """An envelope was not the one we asked for; ``difference`` is (field, expected, found)."""
    field, expected, found = difference
    payload = {"operationId": operation_id, "intentId": intent, "field": field, "expected": expected, "found": found}
    transaction.emit(Event("signing.refused", operation_id, payload, ()))
    transaction.audit("signing.refused", ("operation", operation_id), None, payload)


async def look_at_order(transaction: Transaction, order_id: str) -> OrderView:
    """What the order's workflow shows to operators."""
    return view(await lock_order(transaction, order_id))


async def _with_what_is_due(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    """Nothing happens by itself while an operation runs: a deadline that has passed meanwhile is told at its end."""
    deadline = deadline_of(order)
    if deadline is not None and deadline[1] <= await clock.engine_now(transaction):
        tell_order_workflow(transaction, order.id, is_due=True)
    return order


async def _is_applied(transaction: Transaction, operation: OperationRecord, step: Step) -> bool:
    signed = await attempts.of_intent(transaction, intent_id(operation.id, step))
    return any(attempt.state is AttemptState.CONFIRMED for attempt in signed)


async def _may_still_happen(transaction: Transaction, order: OrderRecord, operation: OperationRecord) -> bool:
    """Looked at with every account of the operation locked, so that nothing is signed meanwhile; afterwards its turns are gone."""
    standings = await users.standings(transaction, (order.buyer_id, order.seller_id))
    sources = {order.the_escrow.signer, *(str(standing.public_key) for standing in standings.values())}
    if operation.kind == OperationKind.COMPENSATION:
        sources.add(str(await wallets.platform_key(transaction, "PLATFORM")))
    for source in sorted(sources):
        await attempts.holder(transaction, source)
    decisive = intent_id(operation.id, _decisive_step(order, operation))
    signed = await attempts.of_operation(transaction, operation.id)
    return any(one.is_open or (one.intent_id == decisive and one.state is AttemptState.CONFIRMED) for one in signed)


def _steps_left(order: OrderRecord, operation: OperationRecord) -> tuple[Step, ...]:
    kind = OperationKind(operation.kind)
    steps = plan(kind, [milestone.state for milestone in order.milestones], operation.subject)
    deployed = kind is OperationKind.CHECKOUT and order.state is not OrderState.ESCROW_CREATING
    return steps[1:] if deployed else steps


def _decisive_step(order: OrderRecord, operation: OperationRecord) -> Step:
    """The step whose outcome is booked next: the last one, except that a checkout is booked after its deployment too."""
    steps = _steps_left(order, operation)
    return steps[0] if operation.kind == OperationKind.CHECKOUT else steps[-1]


def _planned(order: OrderRecord, operation: OperationRecord, step: Step) -> PlannedStep:
    parties = {
        Party.BUYER: f"buyer {order.buyer_id}",
        Party.SELLER: f"seller {order.seller_id}",
        Party.SIGNER: "platform",
        Party.PLATFORM: "platform",
        Party.OWNER: "owner",
    }
    subject = operation.subject
    index = step.milestone_index if step.milestone_index is not None else 0
    doing = _DOING[step.action].format(number=index + 1)
    part = f" of milestone {index + 1}" if subject.per_milestone and step.action in _ON_MILESTONE else ""
    amount = subject.seller_stroops + subject.buyer_gross_stroops or order.amount
    summary = f"{doing}{part} · {parties[step.party]} · {format_amount(amount)} USDC"
    via = "trustless" if step.action is Action.DEPLOY else "horizon"
    return PlannedStep(intent_id(operation.id, step), step.action, summary, via)


_ON_MILESTONE = frozenset({Action.RELEASE, Action.DISPUTE_BY_BUYER, Action.DISPUTE_BY_SELLER, Action.RESOLVE})
