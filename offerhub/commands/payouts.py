"""Book what an escrow paid out, whatever the verb: the chain's own amounts, compared with what was promised before anything moves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.order_facts import close_order, emit_escrow, emit_order, move_escrow, move_order
from offerhub.domain import ledger
from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.fees import Payout, pay_out
from offerhub.domain.ledger import Beneficiaries
from offerhub.domain.messages import Movement
from offerhub.domain.money import format_amount
from offerhub.domain.plans import Subject
from offerhub.domain.states import SETTLED_MILESTONES, EscrowState, FinalStatus, MilestoneState, OrderState
from offerhub.storage import orders, users, wallets
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.orders import EscrowChange, MilestoneChange, OrderRecord
from offerhub.storage.unit_of_work import Transaction


@dataclass(frozen=True)
class Shares:
    """How a payout divides an escrow, or the milestone that ``subject`` names.

    ``kind`` names the posting (``release``, ``refund`` or ``resolution``), the sources are those of the parties' balance events.
    """

    kind: str
    subject: Subject
    seller_source: str = "escrow_release"
    buyer_source: str = "escrow_refund"

    @property
    def milestone_index(self) -> int | None:
        return self.subject.milestone_index

    @property
    def outcome(self) -> FinalStatus:
        """An excess that goes to the buyer is no part of the decision."""
        if self.subject.seller_stroops and self.subject.buyer_stroops:
            return FinalStatus.SPLIT
        return FinalStatus.RELEASED if self.subject.seller_stroops else FinalStatus.REFUNDED


async def book_payout(transaction: Transaction, order: OrderRecord, shares: Shares, paid: AttemptRecord) -> tuple[OrderRecord, Payout]:
    """``escrow → seller, buyer, platform, protocol`` as the chain moved it. An order with nothing left to pay is closed.

    Raises ``LedgerMismatchError`` as ``paid_out`` does.
    """
    payout = await paid_out(transaction, order, shares.subject, paid)
    await _post(transaction, order, shares, (payout, paid.inner_hash))
    facts = {
        "transactionHash": paid.inner_hash,
        "sellerAmount": format_amount(payout.seller_stroops),
        "buyerAmount": format_amount(payout.buyer_stroops),
        "platformFee": format_amount(payout.platform_fee_stroops),
        "protocolFee": format_amount(payout.protocol_fee_stroops),
    }
    if shares.milestone_index is not None:
        return await _settle_milestone(transaction, order, shares, facts), payout
    await orders.settle_milestones(transaction, order.id, MilestoneState(shares.outcome.value))
    return await _settle_order(transaction, order, shares.outcome, facts), payout


async def paid_out(transaction: Transaction, order: OrderRecord, subject: Subject, paid: AttemptRecord) -> Payout:
    """What the contract paid, in the chain's own amounts.

    Raises ``LedgerMismatchError`` where the frozen fees promise other amounts, unless a person has read so and accepted just that.
    """
    promised = pay_out(subject.seller_stroops, subject.buyer_gross_stroops, order.platform_fee_bps)
    found = await _found(transaction, order, [Movement(**movement) for movement in paid.movements or ()])
    sentence = f"the payout should have paid {_in_words(promised)}, the chain paid {_in_words(found)}"
    may_be_accepted = found.differs_only_in_fees(subject.seller_stroops, subject.buyer_gross_stroops)
    if found == promised or (may_be_accepted and subject.accepted_mismatch == sentence):
        return found
    raise LedgerMismatchError(sentence, may_be_accepted=may_be_accepted)


async def _post(transaction: Transaction, order: OrderRecord, shares: Shares, paid: tuple[Payout, str]) -> None:
    payout, transaction_hash = paid
    index = shares.milestone_index
    reference = order.the_escrow.id if index is None else order.milestones[index].id
    parties = Beneficiaries(order.the_escrow.id, order.seller_id, order.buyer_id)
    credited = (
        (order.seller_id, payout.seller_stroops, shares.seller_source),
        (order.buyer_id, payout.buyer_stroops, shares.buyer_source),
    )
    changes = [BalanceChange("balance.credited", user_id, amount, source, order.id) for user_id, amount, source in credited if amount]
    await book(transaction, ledger.pay_out((reference, shares.kind), parties, payout, transaction_hash), *changes)


async def _settle_milestone(transaction: Transaction, order: OrderRecord, shares: Shares, facts: dict[str, str]) -> OrderRecord:
    index = shares.milestone_index
    assert index is not None, "a milestone's payout"
    state = MilestoneState(shares.outcome.value)
    await orders.set_milestone(transaction, order.id, index, MilestoneChange(state, payout_hash=facts["transactionHash"]))
    settled = order.with_milestone(index, state)
    event = "order.milestone_refunded" if state is MilestoneState.REFUNDED else "order.milestone_released"
    emit_order(transaction, event, settled, milestoneRef=settled.milestones[index].ref, **facts)
    outcomes = {milestone.state for milestone in settled.milestones}
    if outcomes - SETTLED_MILESTONES:
        return settled
    outcome = FinalStatus(outcomes.pop().value) if len(outcomes) == 1 else FinalStatus.SPLIT
    return await _settle_order(transaction, settled, outcome, {"transactionHash": facts["transactionHash"]})


async def _settle_order(transaction: Transaction, order: OrderRecord, outcome: FinalStatus, facts: dict[str, str]) -> OrderRecord:
    """A split order counts as released: the seller was paid for part of it."""
    refunded = outcome is FinalStatus.REFUNDED
    proof = facts["transactionHash"]
    learned = EscrowChange(refund_hash=proof) if refunded else EscrowChange(release_hash=proof)
    paid = await move_escrow(transaction, order, EscrowState.REFUNDED if refunded else EscrowState.RELEASED, learned)
    moved = await move_order(transaction, paid, OrderState.REFUNDED if refunded else OrderState.RELEASED, **facts)
    event = "escrow.refunded" if refunded else "escrow.released"
    emit_escrow(transaction, event, moved, amount=format_amount(order.amount), transactionHash=proof)
    return await close_order(transaction, moved, outcome)


async def _found(transaction: Transaction, order: OrderRecord, movements: Sequence[Movement]) -> Payout:
    """Whoever is none of the parties is the protocol: the envelope was signed because it pays nobody else."""
    standings = await users.standings(transaction, (order.seller_id, order.buyer_id))
    parties = {
        standings[order.seller_id].public_key: "seller",
        standings[order.buyer_id].public_key: "buyer",
        await wallets.platform_key(transaction, "PLATFORM"): "platform",
    }
    contract = order.the_escrow.contract_id
    found: Counter[str] = Counter()
    for movement in movements:
        if movement.sender != contract:
            raise LedgerMismatchError(f"the payout moved money of {movement.sender}")
        found[parties.get(movement.recipient, "protocol")] += movement.amount_stroops
    return Payout(found.total(), found["seller"], found["buyer"], found["platform"], found["protocol"])


def _in_words(paid: Payout) -> str:
    parts = {
        "buyer": paid.buyer_stroops,
        "platform": paid.platform_fee_stroops,
        "protocol": paid.protocol_fee_stroops,
        "seller": paid.seller_stroops,
    }
    said = [f"{format_amount(amount)} USDC to the {party}" for party, amount in parts.items() if amount]
    return ", ".join(said) or "nothing"
