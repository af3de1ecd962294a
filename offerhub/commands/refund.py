"""Give the buyer the money back while the order is in progress: the buyer disputes, the platform's signer resolves, in one operation."""

from __future__ import annotations

from dataclasses import replace

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.dispute_facts import DisputeDeadlines, open_frozen_dispute, require_undisputed
from offerhub.commands.operation_facts import require_moved
from offerhub.commands.order_facts import (
    Accepted,
    accept,
    disputed_part,
    gross_of,
    in_flight,
    lock_order,
    move_escrow,
    move_order,
    require_idle,
)
from offerhub.commands.payouts import Shares, book_payout
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.fees import pay_out
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.plans import Action, OperationKind, Subject
from offerhub.domain.states import (
    AttemptState,
    EscrowState,
    FinalStatus,
    MilestoneState,
    OrderState,
    invalid_state,
    require_order_state,
)
from offerhub.storage import attempts, operations, users, wallets
from offerhub.storage import ledger as books
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

_REFUNDABLE = (MilestoneState.OPEN, MilestoneState.COMPLETED, MilestoneState.APPROVED)


async def request_refund(transaction: Transaction, order_id: str, reason: str, milestone_ref: str | None = None) -> Accepted:
    """``IN_PROGRESS → REFUND_REQUESTED`` (a per-milestone order stays in progress). A second refund is answered with the first one's."""
    order = await lock_order(transaction, order_id)
    index = disputed_part(order, milestone_ref)
    first = await in_flight(transaction, order, OperationKind.REFUND, index)
    if first is None and _is_refunded(order, index):
        first = await operations.last_of_milestone(transaction, order.id, OperationKind.REFUND, index)
    if first is not None:
        return Accepted(order, first)
    require_order_state(order.state, OrderState.IN_PROGRESS)
    require_idle(order)
    # A refund is a dispute on the chain, and becomes one here when it is refused half-way.
    await require_undisputed(transaction, order)
    if index is not None and order.milestones[index].state not in _REFUNDABLE:
        raise invalid_state("milestone", order.milestones[index].state, [state.value for state in _REFUNDABLE])
    moved = order
    if index is None:
        refunding = await move_escrow(transaction, order, EscrowState.REFUNDING)
        moved = await move_order(transaction, refunding, OrderState.REFUND_REQUESTED, reason=reason)
    transaction.audit("order.refund_reason", ("order", order.id), None, {"reason": reason, "milestoneRef": milestone_ref})
    subject = Subject(milestone_index=index, per_milestone=index is not None, buyer_stroops=gross_of(order, index))
    return Accepted(moved, await accept(transaction, moved, OperationKind.REFUND, subject))


async def book_refund(transaction: Transaction, order: OrderRecord, operation: OperationRecord, paid: AttemptRecord) -> OrderRecord:
    """``escrow → buyer`` less what the contract took in fees; the platform gives those back where the order says so."""
    subject = operation.subject
    shares = Shares("refund", subject)
    booked, _ = await book_payout(transaction, order, shares, paid)
    await operations.finish(transaction, operation.id)
    return await make_buyer_whole(transaction, booked, subject)


async def make_buyer_whole(transaction: Transaction, order: OrderRecord, refund: Subject) -> OrderRecord:
    """Accept the payment that gives the buyer back the fees of a full refund, where the order promises it."""
    lost = pay_out(0, refund.buyer_stroops, order.platform_fee_bps).fees_stroops
    if order.make_buyer_whole and lost:
        idle = replace(order, operation=None)
        owed = Subject(milestone_index=refund.milestone_index, buyer_stroops=lost)
        await accept(transaction, idle, OperationKind.COMPENSATION, owed)
    return order


async def request_compensation(transaction: Transaction, order_id: str) -> Accepted:
    """Once more, after it was refused: the platform's wallet has been filled meanwhile. Running or done, the first one is the answer.

    Of several milestones whose fees are still owed, the one tried least recently.
    """
    order = await lock_order(transaction, order_id)
    last = await operations.last(transaction, order.id, OperationKind.COMPENSATION)
    if last is None:
        message = "No fees are owed to the buyer: the platform pays those of a full refund back only if the order was created with that."
        raise DomainError(ErrorCode.INVALID_STATE, message, {"currentState": order.state, "allowedStates": [OrderState.CLOSED.value]})
    running = await in_flight(transaction, order, OperationKind.COMPENSATION, last.subject.milestone_index)
    owed = await operations.first_still_failed(transaction, order.id, OperationKind.COMPENSATION)
    if running is not None or owed is None:
        return Accepted(order, running or last)
    return Accepted(order, await accept(transaction, order, OperationKind.COMPENSATION, owed.subject))


async def undo_refund(
    transaction: Transaction, order: OrderRecord, operation: OperationRecord, refusal: Refusal, deadlines: DisputeDeadlines
) -> OrderRecord:
    """Nothing was paid. A contract that is frozen already stays so: what becomes of it is now for a person to decide."""
    frozen = await _frozen_by(transaction, operation)
    index = operation.subject.milestone_index
    if frozen is not None:
        return await open_frozen_dispute(transaction, order, (index, refusal.message), frozen.inner_hash, deadlines)
    if index is not None:
        return order
    funded = await move_escrow(transaction, order, EscrowState.FUNDED)
    return await move_order(transaction, funded, OrderState.IN_PROGRESS)


async def book_compensation(transaction: Transaction, order: OrderRecord, operation: OperationRecord, paid: AttemptRecord) -> OrderRecord:
    """``platform → buyer``: out of what the platform has earned, and beyond that out of what it has put into its wallet itself.

    Raises ``LedgerMismatchError`` when the chain moved anything else.
    """
    amount = operation.subject.buyer_stroops
    buyer = (await users.standings(transaction, (order.buyer_id,)))[order.buyer_id]
    platform = await wallets.platform_key(transaction, "PLATFORM")
    promised = Movement(str(platform), str(buyer.public_key), amount)
    require_moved("the compensation", promised, [Movement(**movement) for movement in paid.movements or ()])
    earned = (await books.lock_balances(transaction, (ledger.PLATFORM_REVENUE,)))[ledger.PLATFORM_REVENUE]
    sources = (min(amount, earned), amount - min(amount, earned))
    change = BalanceChange("balance.credited", order.buyer_id, amount, "refund_compensation", order.id)
    await book(transaction, ledger.compensate(operation.id, order.buyer_id, sources, paid.inner_hash), change)
    await operations.finish(transaction, operation.id)
    return order


def _is_refunded(order: OrderRecord, index: int | None) -> bool:
    if index is None:
        return order.final_status is FinalStatus.REFUNDED
    return order.milestones[index].state is MilestoneState.REFUNDED


async def _frozen_by(transaction: Transaction, operation: OperationRecord) -> AttemptRecord | None:
    for attempt in await attempts.of_operation(transaction, operation.id):
        if attempt.state is AttemptState.CONFIRMED and attempt.step and attempt.step["action"] == Action.DISPUTE_BY_BUYER:
            return attempt
    return None
