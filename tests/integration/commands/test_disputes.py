"""Disputes from their opening to the payout: every decision, every way it is refused, and who wins when two decide."""

from __future__ import annotations

import asyncio
import hashlib

import pytest
from sqlalchemy.exc import DBAPIError

from offerhub.commands.disputes import DisputeNote, add_to_dispute, assign_dispute
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.plans import Action, Party
from offerhub.domain.states import Decision, DisputeState, EscrowState, FinalStatus, MilestoneState
from offerhub.storage import disputes
from tests.integration.commands.deal import AMOUNT, Deal, Wish
from tests.integration.commands.disputing import decide, read
from tests.integration.commands.market import Market


async def disputed(market: Market, by: Party = Party.BUYER, fee_bps: int = 250) -> tuple[Deal, str]:
    """The contract is frozen."""
    deal = await Deal.funded(market, Wish(fee_bps=fee_bps))
    accepted = await deal.dispute(by)
    await deal.finish(accepted)
    return deal, accepted.dispute.id


@pytest.mark.parametrize("by", [Party.BUYER, Party.SELLER])
async def test_whoever_opens_it_the_contract_is_frozen_at_once_with_his_signature(market: Market, by: Party) -> None:
    deal = await Deal.funded(market)
    accepted = await deal.dispute(by)
    assert (accepted.order.state, accepted.dispute.state, accepted.dispute.amount) == ("DISPUTED", DisputeState.OPEN, AMOUNT)
    [step] = await market.planned(accepted.operation.id)
    assert (step.action, step.party) == (Action.DISPUTE_BY_BUYER if by is Party.BUYER else Action.DISPUTE_BY_SELLER, by)
    await deal.finish(accepted)
    order, dispute = await deal.order(), await read(deal, accepted.dispute.id)
    assert order.the_escrow.state is EscrowState.DISPUTED
    assert order.the_escrow.dispute_hash == dispute.frozen_hash
    assert dispute.frozen_hash is not None
    assert await deal.books() == {"escrow": AMOUNT}


@pytest.mark.parametrize(
    ("decision", "shares", "outcome", "escrow"),
    [
        (Decision.FULL_RELEASE, (AMOUNT, 0), FinalStatus.RELEASED, EscrowState.RELEASED),
        (Decision.FULL_REFUND, (0, AMOUNT), FinalStatus.REFUNDED, EscrowState.REFUNDED),
        (Decision.SPLIT, (333_333_333, 466_666_667), FinalStatus.SPLIT, EscrowState.RELEASED),
    ],
)
async def test_a_decision_is_paid_and_booked_to_the_stroop(
    market: Market, decision: Decision, shares: tuple[int, int], outcome: FinalStatus, escrow: EscrowState
) -> None:
    deal, dispute_id = await disputed(market)
    accepted = await decide(deal, dispute_id, decision, *(shares if decision is Decision.SPLIT else ()))
    assert accepted.dispute.state is DisputeState.RESOLVING
    await deal.finish(accepted)
    order, dispute = await deal.order(), await read(deal, dispute_id)
    assert (order.state, order.final_status, order.the_escrow.state) == ("CLOSED", outcome, escrow)
    assert [milestone.state for milestone in order.milestones] == [MilestoneState(outcome.value)]
    assert (dispute.state, dispute.decision, dispute.resolved_by) == (DisputeState.RESOLVED, decision, "agent-7")
    assert (dispute.release_amount, dispute.refund_amount) == shares
    assert dispute.resolution_hash is not None
    protocol, platform = [sum(share * bps // 10_000 for share in shares) for bps in (30, 250)]
    net = [share - share * 30 // 10_000 - share * 250 // 10_000 for share in shares]
    expected = {"seller": net[0], "buyer": net[1], "platform": platform, "protocol": protocol}
    assert await deal.books() == {name: amount for name, amount in expected.items() if amount}
    assert sum(expected.values()) == AMOUNT
    assert [name for name, _ in await deal.events("dispute.")][-2:] == ["dispute.resolving", "dispute.resolved"]


@pytest.mark.parametrize(
    ("decision", "shares", "code"),
    [
        (Decision.SPLIT, (), ErrorCode.VALIDATION_ERROR),
        (Decision.SPLIT, (AMOUNT, None), ErrorCode.VALIDATION_ERROR),
        (Decision.SPLIT, (AMOUNT, 0), ErrorCode.VALIDATION_ERROR),
        (Decision.SPLIT, (-1, AMOUNT + 1), ErrorCode.VALIDATION_ERROR),
        (Decision.SPLIT, (1, AMOUNT), ErrorCode.RESERVE_MISMATCH_AMOUNT),
        (Decision.SPLIT, (1, AMOUNT - 2), ErrorCode.RESERVE_MISMATCH_AMOUNT),
        (Decision.FULL_RELEASE, (AMOUNT - 1, None), ErrorCode.VALIDATION_ERROR),
        (Decision.FULL_RELEASE, (None, AMOUNT), ErrorCode.VALIDATION_ERROR),
        (Decision.FULL_REFUND, (AMOUNT, None), ErrorCode.VALIDATION_ERROR),
    ],
)
async def test_shares_that_do_not_fit_change_nothing(
    market: Market, decision: Decision, shares: tuple[int | None, ...], code: ErrorCode
) -> None:
    deal, dispute_id = await disputed(market)
    before = await read(deal, dispute_id)
    with pytest.raises(DomainError) as refusal:
        await decide(deal, dispute_id, decision, *shares)
    assert refusal.value.code is code
    if code is ErrorCode.RESERVE_MISMATCH_AMOUNT:
        assert refusal.value.details["held"] == "80.00"
    assert await read(deal, dispute_id) == before
    assert (await deal.order()).operation is None


async def test_amounts_that_say_the_same_as_the_decision_are_accepted(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    await deal.finish(await decide(deal, dispute_id, Decision.FULL_REFUND, 0, AMOUNT))
    assert (await deal.order()).final_status is FinalStatus.REFUNDED


async def test_nothing_is_decided_before_the_contract_is_frozen(market: Market) -> None:
    deal = await Deal.funded(market)
    accepted = await deal.dispute()
    with pytest.raises(DomainError) as refusal:
        await decide(deal, accepted.dispute.id, Decision.FULL_REFUND)
    assert refusal.value.code is ErrorCode.ESCROW_NOT_READY
    await deal.finish(accepted)
    assert (await decide(deal, accepted.dispute.id, Decision.FULL_REFUND)).dispute.state is DisputeState.RESOLVING


async def test_a_contract_that_will_not_be_frozen_gives_the_order_back(market: Market) -> None:
    deal = await Deal.funded(market)
    accepted = await deal.dispute()
    await deal.refuse(accepted)
    assert (await deal.order()).state == "IN_PROGRESS"
    assert (await read(deal, accepted.dispute.id)).state is DisputeState.REFUSED
    second = await deal.dispute(Party.SELLER)
    assert second.dispute.id != accepted.dispute.id


async def test_of_two_decisions_at_once_one_wins(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    wishes = (Decision.FULL_RELEASE, Decision.FULL_REFUND) * 3
    answers = await asyncio.gather(*(decide(deal, dispute_id, wish) for wish in wishes), return_exceptions=True)
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    lost = [answer for answer in answers if isinstance(answer, DomainError)]
    assert (len(won), len(lost)) == (1, 5)
    for refusal in lost:
        assert refusal.code is ErrorCode.INVALID_STATE
        assert refusal.details == {"currentState": "RESOLVING", "allowedStates": ["OPEN", "UNDER_REVIEW"]}
    await deal.finish(won[0])
    assert (await read(deal, dispute_id)).decision is won[0].dispute.decision


async def test_a_refused_resolution_waits_for_another_decision(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    await deal.run(lambda transaction: assign_dispute(transaction, dispute_id, "agent-7", None))
    await deal.refuse(await decide(deal, dispute_id, Decision.FULL_RELEASE))
    dispute, order = await read(deal, dispute_id), await deal.order()
    assert (dispute.state, dispute.decision, dispute.release_amount, dispute.resolved_by) == (DisputeState.UNDER_REVIEW, None, None, None)
    assert (order.state, order.the_escrow.state, dispute.assigned_to) == ("DISPUTED", EscrowState.DISPUTED, "agent-7")
    await deal.finish(await decide(deal, dispute_id, Decision.SPLIT, 1, AMOUNT - 1))
    assert (await deal.order()).final_status is FinalStatus.SPLIT


async def test_it_is_taken_over_and_handed_on(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    for agent, notes in (("agent-1", "first look"), ("agent-2", None)):
        async with market.command() as transaction:
            taken = await assign_dispute(transaction, dispute_id, agent, notes)
        assert (taken.state, taken.assigned_to, taken.notes) == (DisputeState.UNDER_REVIEW, agent, "first look")
    told = [payload["assignedTo"] for name, payload in await deal.events("dispute.under_review") if name]
    assert told == ["agent-1", "agent-2"]


async def test_what_is_said_is_hashed_and_can_only_be_added_to(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    note = DisputeNote("MESSAGE", "buyer", {"text": "Grün war ausgemacht."})
    entry = await deal.run(lambda transaction: add_to_dispute(transaction, dispute_id, note))
    said = '{"author":"buyer","content":{"text":"Grün war ausgemacht."}}'
    assert entry.content_hash == hashlib.sha256(said.encode()).hexdigest()
    async with market.database.reading() as reader:
        entries = await disputes.entries(reader, dispute_id)
    assert [(one.kind, one.author, one.content["text"]) for one in entries] == [
        ("EVIDENCE", "BUYER", "a picture"),
        ("MESSAGE", "buyer", "Grün war ausgemacht."),
    ]
    for change in ("UPDATE dispute_records SET author = 'x'", "DELETE FROM dispute_records", "TRUNCATE dispute_records"):
        with pytest.raises(DBAPIError, match="append-only"):
            async with market.database.engine.begin() as connection:
                await connection.exec_driver_sql(change)


async def test_one_dispute_of_an_order_is_open_at_a_time(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    with pytest.raises(DomainError) as refusal:
        await deal.dispute(Party.SELLER)
    assert refusal.value.code is ErrorCode.DISPUTE_ALREADY_OPEN
    assert refusal.value.details == {"orderId": deal.order_id, "disputeId": dispute_id}


async def test_disputes_opened_at_once_open_one(market: Market) -> None:
    deal = await Deal.funded(market)
    answers = await asyncio.gather(*(deal.dispute(party) for party in (Party.BUYER, Party.SELLER) * 3), return_exceptions=True)
    codes = [answer.code for answer in answers if isinstance(answer, DomainError)]
    assert codes == [ErrorCode.DISPUTE_ALREADY_OPEN] * 5
