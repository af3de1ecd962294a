"""What a command that moves money will cost and pay, told before it is done; the execution equals it to the stroop.

A quote is made from the very order and operation that the command has written in a transaction that is then rolled back.
"""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.commands.order_facts import gross_of
from offerhub.domain.fees import Payout, pay_out
from offerhub.domain.plans import OperationKind, Step, plan
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.withdrawals import WithdrawalRecord

# A ledger of Stellar closes about every five seconds; building, signing and reading take the sixth.
SECONDS_PER_STEP = 6
_RELEASES = frozenset({OperationKind.RELEASE, OperationKind.MILESTONE_RELEASE})
_RESOLUTIONS = frozenset({OperationKind.REFUND, OperationKind.DISPUTE_RESOLUTION})
_INTO_ESCROW = frozenset({OperationKind.ESCROW_CREATION, OperationKind.ESCROW_FUNDING, OperationKind.CHECKOUT})


@dataclass(frozen=True)
class Share:
    """What one party has more (or less) when all is done. ``account`` is available, reserved, escrow or outside."""

    party: str
    user_id: str | None
    account: str
    amount_stroops: int


@dataclass(frozen=True)
class Quote:
    """``gross_stroops`` is what moves; the shares are what arrives, after ``platform_fee_stroops`` and ``protocol_fee_stroops``."""

    action: str
    gross_stroops: int
    platform_fee_stroops: int
    protocol_fee_stroops: int
    shares: tuple[Share, ...]
    steps: tuple[Step, ...] = ()

    @property
    def expected_seconds(self) -> int:
        return SECONDS_PER_STEP * len(self.steps)


def quote_reservation(order: OrderRecord) -> Quote:
    return Quote("reserve", order.amount, 0, 0, (Share("buyer", order.buyer_id, "reserved", order.amount),))


def quote_operation(order: OrderRecord, operation: OperationRecord) -> Quote:
    """What the operation will do to the order it was accepted for: nothing more, when it is a finished one that the command found."""
    kind, subject = OperationKind(operation.kind), operation.subject
    if operation.finished_at is not None:
        return Quote(kind, 0, 0, 0, ())
    steps = plan(kind, [milestone.state for milestone in order.milestones], subject)
    if kind in _INTO_ESCROW:
        return Quote(kind, order.amount, 0, 0, (Share("escrow", None, "escrow", order.amount),), steps)
    if kind in _RELEASES:
        gross = gross_of(order, subject.milestone_index if subject.per_milestone else None)
        return _payout_quote(order, kind, pay_out(gross, 0, order.platform_fee_bps), steps)
    if kind in _RESOLUTIONS:
        payout = pay_out(subject.seller_stroops, subject.buyer_gross_stroops, order.platform_fee_bps)
        quote = _payout_quote(order, kind, payout, steps)
        is_full_refund = not subject.seller_stroops and order.make_buyer_whole
        return _with_compensation(quote, order, payout.fees_stroops) if is_full_refund else quote
    if kind is OperationKind.COMPENSATION:
        return Quote(kind, subject.buyer_stroops, 0, 0, (Share("buyer", order.buyer_id, "available", subject.buyer_stroops),), steps)
    return Quote(kind, 0, 0, 0, (), steps)


def quote_withdrawal(withdrawal: WithdrawalRecord) -> Quote:
    """The platform pays the network's fee: all of the amount arrives."""
    share = Share("destination", None, "outside", withdrawal.amount)
    return Quote("withdrawal", withdrawal.amount, 0, 0, (share,), plan(OperationKind.WITHDRAWAL))


def release_in_full(order: OrderRecord) -> Payout:
    """What releasing all of an order pays, milestone by milestone where it is paid out so: every part is floored on its own."""
    return _in_full([pay_out(gross, 0, order.platform_fee_bps) for gross in _parts(order)])


def refund_in_full(order: OrderRecord) -> Payout:
    return _in_full([pay_out(0, gross, order.platform_fee_bps) for gross in _parts(order)])


def _parts(order: OrderRecord) -> list[int]:
    return [gross_of(order, milestone.position) for milestone in order.milestones] if order.is_per_milestone else [order.amount]


def _in_full(payouts: list[Payout]) -> Payout:
    return Payout(*(sum(parts) for parts in zip(*(vars(payout).values() for payout in payouts), strict=True)))


def _payout_quote(order: OrderRecord, kind: OperationKind, payout: Payout, steps: tuple[Step, ...]) -> Quote:
    shares = (
        Share("seller", order.seller_id, "available", payout.seller_stroops),
        Share("buyer", order.buyer_id, "available", payout.buyer_stroops),
    )
    paid = tuple(share for share in shares if share.amount_stroops)
    return Quote(kind, payout.gross_stroops, payout.platform_fee_stroops, payout.protocol_fee_stroops, paid, steps)


def _with_compensation(quote: Quote, order: OrderRecord, fees_stroops: int) -> Quote:
    """The platform gives the buyer the fees back, in a payment of its own."""
    compensation = Share("buyer", order.buyer_id, "available", fees_stroops)
    steps = (*quote.steps, *plan(OperationKind.COMPENSATION))
    return Quote(
        quote.action, quote.gross_stroops, quote.platform_fee_stroops, quote.protocol_fee_stroops, (*quote.shares, compensation), steps
    )
