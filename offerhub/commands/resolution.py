"""Decide a dispute: whoever decides, through whichever door, this command judges; then book what the contract paid."""

from __future__ import annotations

from dataclasses import dataclass, replace

from offerhub.commands.dispute_facts import AcceptedDispute, dispute_of, lock_dispute, move_dispute
from offerhub.commands.order_facts import NEXT_TRY_AFTER, accept, require_idle, tell_dispute_workflow, tell_order_workflow
from offerhub.commands.payouts import Shares, book_payout
from offerhub.commands.refund import make_buyer_whole
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import Refusal
from offerhub.domain.money import format_amount
from offerhub.domain.plans import OperationKind, Subject
from offerhub.domain.states import Decision, DisputeState, invalid_state
from offerhub.storage import clock, operations
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.disputes import DisputeRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

_DECIDABLE = (DisputeState.OPEN, DisputeState.UNDER_REVIEW)


@dataclass(frozen=True)
class ResolveDispute:
    """``release_stroops`` (to the seller) and ``refund_stroops`` (to the buyer) are gross, and given for a SPLIT only."""

    dispute_id: str
    decision: Decision
    decided_by: str
    release_stroops: int | None = None
    refund_stroops: int | None = None
    note: str | None = None


async def resolve_dispute(transaction: Transaction, wanted: ResolveDispute) -> AcceptedDispute:
    """``OPEN | UNDER_REVIEW → RESOLVING``. Of two decisions one wins, the other gets ``INVALID_STATE``.

    Raises ``ESCROW_NOT_READY`` while the contract is still being frozen, ``RESERVE_MISMATCH_AMOUNT`` when the shares of a split do not sum
    to what the contract holds, ``VALIDATION_ERROR`` for amounts that do not belong to the decision.
    """
    order, dispute = await lock_dispute(transaction, wanted.dispute_id)
    if dispute.state not in _DECIDABLE:
        raise invalid_state("dispute", dispute.state, [state.value for state in _DECIDABLE])
    release, refund = _shares(wanted, dispute)
    if dispute.frozen_hash is None:
        message = "The contract is still being frozen on the chain; decide again in a moment."
        raise DomainError(ErrorCode.ESCROW_NOT_READY, message, {"disputeId": dispute.id})
    require_idle(order)
    decided = replace(
        dispute,
        decision=wanted.decision,
        release_amount=release,
        refund_amount=refund,
        resolution_note=wanted.note,
        resolved_by=wanted.decided_by,
    )
    moved = await move_dispute(transaction, order, decided, DisputeState.RESOLVING, **_told(decided))
    index = dispute.milestone_index
    subject = Subject(
        milestone_index=index, per_milestone=index is not None, dispute_id=dispute.id, seller_stroops=release, buyer_stroops=refund
    )
    operation = await accept(transaction, order, OperationKind.DISPUTE_RESOLUTION, subject)
    return AcceptedDispute(order, moved, operation)


async def book_resolution(transaction: Transaction, order: OrderRecord, operation: OperationRecord, paid: AttemptRecord) -> OrderRecord:
    """``escrow → seller and buyer`` as decided, less the contract's fees."""
    subject = operation.subject
    dispute = await dispute_of(transaction, operation)
    shares = Shares("resolution", subject, "dispute_resolution", "dispute_resolution")
    booked, payout = await book_payout(transaction, order, shares, paid)
    resolved = replace(dispute, resolution_hash=paid.inner_hash, resolved_at=transaction.now)
    received = {"sellerAmount": format_amount(payout.seller_stroops), "buyerAmount": format_amount(payout.buyer_stroops)}
    facts = {**_told(dispute), **received, "transactionHash": paid.inner_hash}
    await move_dispute(transaction, booked, resolved, DisputeState.RESOLVED, **facts)
    await operations.finish(transaction, operation.id)
    tell_order_workflow(transaction, order.id)
    if dispute.decision is Decision.FULL_REFUND:
        return await make_buyer_whole(transaction, booked, subject)
    return booked


async def undo_resolution(transaction: Transaction, order: OrderRecord, operation: OperationRecord, refusal: Refusal) -> OrderRecord:
    """The contract refused: the money is still frozen in it, and the dispute waits for another decision."""
    dispute = await dispute_of(transaction, operation)
    transaction.audit("dispute.resolution_refused", ("dispute", dispute.id), None, {"code": refusal.code, "message": refusal.message})
    undecided = replace(dispute, decision=None, release_amount=None, refund_amount=None, resolution_note=None, resolved_by=None)
    now = await clock.engine_now(transaction)
    if dispute.decides_at is not None and dispute.decides_at <= now:
        undecided = replace(undecided, decides_at=now + NEXT_TRY_AFTER)
    await move_dispute(transaction, order, undecided, DisputeState.UNDER_REVIEW, assignedTo=dispute.assigned_to)
    tell_dispute_workflow(transaction, dispute.id)
    return order


def _shares(wanted: ResolveDispute, dispute: DisputeRecord) -> tuple[int, int]:
    """Gross amounts to the seller and to the buyer."""
    given = (wanted.release_stroops, wanted.refund_stroops)
    if wanted.decision is not Decision.SPLIT:
        shares = (dispute.amount, 0) if wanted.decision is Decision.FULL_RELEASE else (0, dispute.amount)
        if any(amount not in (None, share) for amount, share in zip(given, shares, strict=True)):
            raise _not_the_amounts(f"A {wanted.decision} pays all of it to one party: leave the amounts out.")
        return shares
    release, refund = given
    if release is None or refund is None or release <= 0 or refund <= 0:
        raise _not_the_amounts("A SPLIT needs releaseAmount and refundAmount, both above zero.")
    if release + refund != dispute.amount:
        held, total = format_amount(dispute.amount), format_amount(release + refund)
        message = f"releaseAmount and refundAmount sum to {total}, the contract holds {held}."
        raise DomainError(ErrorCode.RESERVE_MISMATCH_AMOUNT, message, {"held": held, "total": total, "currency": "USDC"})
    return release, refund


def _not_the_amounts(message: str) -> DomainError:
    fields = [{"field": name, "message": message} for name in ("releaseAmount", "refundAmount")]
    return DomainError(ErrorCode.VALIDATION_ERROR, message, {"fields": fields})


def _told(dispute: DisputeRecord) -> dict[str, str | None]:
    return {
        "decision": dispute.decision,
        "releaseAmount": format_amount(dispute.release_amount or 0),
        "refundAmount": format_amount(dispute.refund_amount or 0),
        "resolvedBy": dispute.resolved_by,
    }
