"""The life of an operation between its acceptance and its booking, as the order's workflow drives it."""

from __future__ import annotations

from offerhub.commands.escrow_creation import book_escrow_created, undo_escrow_creation
from offerhub.commands.escrow_funding import book_funding, undo_funding
from offerhub.commands.operation_facts import confirmed_attempt, emit_mismatch, fail_operation, get_operation, is_finished
from offerhub.commands.order_facts import emit_order, lock_order, view
from offerhub.commands.release import book_release, undo_release
from offerhub.domain.events import Event
from offerhub.domain.messages import OperationPlan, OrderView, PlannedStep, Refusal
from offerhub.domain.money import format_amount
from offerhub.domain.plans import Action, OperationKind, Party, Step, intent_id, plan
from offerhub.domain.states import AttemptState
from offerhub.storage import attempts, operations, users
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

_BOOK = {
    OperationKind.ESCROW_CREATION: book_escrow_created,
    OperationKind.ESCROW_FUNDING: book_funding,
    OperationKind.RELEASE: book_release,
}
_UNDO = {
    OperationKind.ESCROW_CREATION: undo_escrow_creation,
    OperationKind.ESCROW_FUNDING: undo_funding,
    OperationKind.RELEASE: undo_release,
}
_DOING = {
    Action.DEPLOY: "deploy escrow",
    Action.FUND: "fund escrow",
    Action.COMPLETE_MILESTONE: "complete milestone {number}",
    Action.APPROVE_MILESTONE: "approve milestone {number}",
    Action.RELEASE: "release",
}


async def begin_operation(transaction: Transaction, operation_id: str) -> OperationPlan:
    """Mark the operation running and lay out the steps that are still to be done. No steps when it is finished already."""
    operation = await get_operation(transaction, operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation):
        return OperationPlan(operation.id, operation.kind, view(order))
    await operations.start(transaction, operation.id)
    steps = plan(OperationKind(operation.kind), [milestone.state for milestone in order.milestones])
    return OperationPlan(operation.id, operation.kind, view(order), [_planned(order, operation.id, step) for step in steps])


async def book_operation(transaction: Transaction, operation_id: str) -> OrderView:
    """Book the outcome once every step has been applied; repeated calls change nothing.

    Raises ``LedgerMismatchError``; then nothing is booked (see ``report_mismatch``).
    """
    operation = await get_operation(transaction, operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation):
        return view(order)
    last = await _confirmed_last_step(transaction, order, operation)
    return view(await _BOOK[OperationKind(operation.kind)](transaction, order.id, operation.id, last))


async def refuse_operation(transaction: Transaction, refusal: Refusal) -> OrderView | None:
    """The chain, the contract or our own comparison said no: operation FAILED, order back where the marketplace can act.

    None, and nothing changed, when an envelope of the operation may still apply or its last step has applied: then it is not over.
    """
    operation = await get_operation(transaction, refusal.operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation):
        return view(order)
    if await _may_still_happen(transaction, order, operation):
        return None
    await fail_operation(transaction, refusal)
    restored = await _UNDO[OperationKind(operation.kind)](transaction, order)
    fields = {"operationId": operation.id, "code": refusal.code, "message": refusal.message}
    emit_order(transaction, "order.operation_failed", restored, **fields)
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


async def _may_still_happen(transaction: Transaction, order: OrderRecord, operation: OperationRecord) -> bool:
    """Looked at with every account of the operation locked, so that nothing is signed meanwhile; afterwards its turns are gone."""
    standings = await users.standings(transaction, (order.buyer_id, order.seller_id))
    for source in sorted({order.the_escrow.signer, *(str(standing.public_key) for standing in standings.values())}):
        await attempts.holder(transaction, source)
    last = intent_id(operation.id, _last_step(order, operation))
    signed = await attempts.of_operation(transaction, operation.id)
    return any(one.is_open or (one.intent_id == last and one.state is AttemptState.CONFIRMED) for one in signed)


def _last_step(order: OrderRecord, operation: OperationRecord) -> Step:
    return plan(OperationKind(operation.kind), [milestone.state for milestone in order.milestones])[-1]


async def _confirmed_last_step(transaction: Transaction, order: OrderRecord, operation: OperationRecord) -> AttemptRecord:
    return await confirmed_attempt(transaction, operation.id, _last_step(order, operation))


def _planned(order: OrderRecord, operation_id: str, step: Step) -> PlannedStep:
    who = {Party.BUYER: f"buyer {order.buyer_id}", Party.SELLER: f"seller {order.seller_id}", Party.SIGNER: "platform"}[step.party]
    doing = _DOING[step.action].format(number=(step.milestone_index or 0) + 1)
    summary = f"{doing} · {who} · {format_amount(order.amount)} USDC"
    via = "trustless" if step.action is Action.DEPLOY else "horizon"
    return PlannedStep(intent_id(operation_id, step), step.action, summary, via)
