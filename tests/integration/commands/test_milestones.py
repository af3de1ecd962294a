"""Milestones: delivered on any order; paid, refunded and disputed one by one where an order is paid out so."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from offerhub.commands.disputes import assign_dispute
from offerhub.commands.maintenance import end_drain, start_drain
from offerhub.commands.milestones import request_completion
from offerhub.commands.order_facts import NEXT_TRY_AFTER
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release, request_release
from offerhub.commands.remainder import tell_not_emptied, withdraw_remaining
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.plans import Action, step
from offerhub.domain.states import Decision, EscrowState, FinalStatus, MilestoneState, OrderState
from offerhub.storage.unit_of_work import BACKGROUND_PRIORITY
from tests.integration.commands.deal import Deal, Wish
from tests.integration.commands.disputing import decide, read
from tests.integration.commands.market import Market

PARTS = (100_000_001, 200_000_003, 300_000_007)
IN_PARTS = Wish(parts=PARTS, fee_bps=250)
TOTAL = sum(PARTS)


def fees(*gross: int) -> tuple[int, int]:
    """Platform's and protocol's, each part floored on its own."""
    return sum(part * 250 // 10_000 for part in gross), sum(part * 30 // 10_000 for part in gross)


async def release(deal: Deal, ref: str) -> None:
    await deal.finish(await deal.do(request_milestone_release, ref))


async def states(deal: Deal) -> list[MilestoneState]:
    return [milestone.state for milestone in (await deal.order()).milestones]


async def test_a_delivery_is_recorded_by_the_seller_once(market: Market) -> None:
    deal = await Deal.funded(market, Wish(milestones=2))
    first = await deal.do(request_completion, "m1", "it is in the repository")
    [planned] = await market.planned(first.operation.id)
    assert (planned.action, planned.milestone_index, planned.party) == (Action.COMPLETE_MILESTONE, 1, "seller")
    running = await deal.do(request_completion, "m1", None)
    await deal.finish(first)
    done = await deal.do(request_completion, "m1", None)
    assert running.operation.id == done.operation.id == first.operation.id
    order = await deal.order()
    assert await states(deal) == [MilestoneState.OPEN, MilestoneState.COMPLETED]
    assert order.milestones[1].evidence == "it is in the repository"
    assert order.milestones[1].completed_at is not None
    assert (order.state, order.operation) == (OrderState.IN_PROGRESS, None)
    told = [name for name, payload in await deal.events() if payload.get("milestoneRef") == "m1"]
    assert told == ["order.milestone_completed", "escrow.milestone_completed"]


async def test_a_release_does_only_what_the_contract_does_not_record_yet(market: Market) -> None:
    deal = await Deal.funded(market, Wish(milestones=2))
    await deal.finish(await deal.do(request_completion, "m0", None))
    accepted = await deal.do(request_release, None, None)
    names = [planned.name for planned in await market.planned(accepted.operation.id)]
    assert names == ["approve_milestone:0", "complete_milestone:1", "approve_milestone:1", "release"]


async def test_all_milestones_released_one_by_one_close_the_order_as_released(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    for position in (2, 0):
        await release(deal, f"m{position}")
    assert (await deal.order()).state is OrderState.IN_PROGRESS
    assert (await deal.books())["escrow"] == PARTS[1]
    await release(deal, "m1")
    order = await deal.order()
    assert (order.state, order.final_status, order.the_escrow.state) == ("CLOSED", FinalStatus.RELEASED, EscrowState.RELEASED)
    platform, protocol = fees(*PARTS)
    assert await deal.books() == {"seller": TOTAL - platform - protocol, "platform": platform, "protocol": protocol}
    assert all(milestone.payout_hash for milestone in order.milestones)


async def test_one_released_one_refunded_one_split_close_the_order_as_split(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    await release(deal, "m0")
    await deal.finish(await deal.do(request_refund, "never came", "m1"))
    opened = await deal.dispute(milestone="m2")
    await deal.finish(opened)
    assert await states(deal) == [MilestoneState.RELEASED, MilestoneState.REFUNDED, MilestoneState.DISPUTED]
    assert (await deal.order()).state is OrderState.IN_PROGRESS
    shares = (100_000_000, 200_000_007)
    await deal.finish(await decide(deal, opened.dispute.id, Decision.SPLIT, *shares))
    order = await deal.order()
    assert await states(deal) == [MilestoneState.RELEASED, MilestoneState.REFUNDED, MilestoneState.SPLIT]
    assert (order.state, order.final_status) == ("CLOSED", FinalStatus.SPLIT)
    platform, protocol = fees(PARTS[0], PARTS[1], *shares)
    net = {part: part - sum(fees(part)) for part in (*PARTS, *shares)}
    assert await deal.books() == {
        "seller": net[PARTS[0]] + net[shares[0]],
        "buyer": net[PARTS[1]] + net[shares[1]],
        "platform": platform,
        "protocol": protocol,
    }


async def test_all_refunded_close_the_order_as_refunded(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    for position in range(3):
        await deal.finish(await deal.do(request_refund, "never came", f"m{position}"))
    order = await deal.order()
    assert (order.final_status, order.the_escrow.state) == (FinalStatus.REFUNDED, EscrowState.REFUNDED)


async def test_repeated_releases_and_refunds_of_a_milestone_find_the_first(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    first = await deal.do(request_milestone_release, "m0")
    assert (await deal.do(request_milestone_release, "m0")).operation.id == first.operation.id
    await deal.finish(first)
    assert (await deal.do(request_milestone_release, "m0")).operation.id == first.operation.id
    refund = await deal.do(request_refund, "late", "m1")
    await deal.finish(refund)
    assert (await deal.do(request_refund, "late", "m1")).operation.id == refund.operation.id
    assert (await deal.do(request_milestone_release, "m0")).operation.id == first.operation.id


async def test_two_milestones_are_not_worked_on_at_once(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    answers = await asyncio.gather(*(deal.do(request_milestone_release, f"m{n}") for n in range(3)), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, DomainError)]
    assert [refusal.code for refusal in refused] == [ErrorCode.INVALID_STATE] * 2
    assert {refusal.details["operationId"] for refusal in refused} == {(await deal.order()).operation_id}


@pytest.mark.parametrize("ended", [MilestoneState.RELEASED, MilestoneState.REFUNDED])
async def test_what_is_settled_stays_so(market: Market, ended: MilestoneState) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    if ended is MilestoneState.RELEASED:
        await release(deal, "m0")
    else:
        await deal.finish(await deal.do(request_refund, "late", "m0"))
    commands = {"release": deal.do(request_milestone_release, "m0"), "refund": deal.do(request_refund, "x", "m0")}
    commands |= {"dispute": deal.dispute(milestone="m0"), "complete": deal.do(request_completion, "m0", None)}
    repeated = "release" if ended is MilestoneState.RELEASED else "refund"
    for name, command in commands.items():
        if name == repeated:
            assert (await command).operation.finished_at is not None
            continue
        with pytest.raises(DomainError) as refusal:
            await command
        assert (refusal.value.code, refusal.value.details["currentState"]) == (ErrorCode.INVALID_STATE, ended.value), name
        assert ended.value not in refusal.value.details["allowedStates"]


async def test_while_a_milestone_is_disputed_others_are_paid_but_none_is_refunded(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    opened = await deal.dispute(milestone="m0")
    await deal.finish(opened)
    await deal.run(lambda transaction: assign_dispute(transaction, opened.dispute.id, "agent-7", None))
    await release(deal, "m1")
    for command in (deal.do(request_refund, "late", "m2"), deal.dispute(milestone="m2")):
        with pytest.raises(DomainError) as refusal:
            await command
        assert refusal.value.code is ErrorCode.DISPUTE_ALREADY_OPEN
    with pytest.raises(DomainError) as refusal:
        await release(deal, "m0")
    assert refusal.value.details == {"currentState": "DISPUTED", "allowedStates": ["OPEN", "COMPLETED", "APPROVED"]}
    await deal.finish(await decide(deal, opened.dispute.id, Decision.FULL_RELEASE))
    await release(deal, "m2")
    assert (await deal.order()).final_status is FinalStatus.RELEASED


async def test_a_milestones_refund_refused_after_the_freeze_leaves_its_dispute(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    refund = await deal.do(request_refund, "late", "m1")
    await deal.apply(refund.operation.id, step(Action.DISPUTE_BY_BUYER, 1))
    await deal.refuse(refund)
    order = await deal.order()
    assert order.dispute is not None
    assert (order.state, order.dispute.milestone_ref, order.dispute.amount) == ("IN_PROGRESS", "m1", PARTS[1])
    assert await states(deal) == [MilestoneState.OPEN, MilestoneState.DISPUTED, MilestoneState.OPEN]
    await deal.finish(await decide(deal, order.dispute.id, Decision.FULL_REFUND))
    assert (await read(deal, order.dispute.id)).resolution_hash == (await deal.order()).milestones[1].payout_hash


async def test_which_part_is_meant_must_be_said_where_there_are_parts_and_only_there(market: Market) -> None:
    whole, parts = await Deal.funded(market), await Deal.funded(market, IN_PARTS)
    wrong = [
        whole.do(request_refund, "late", "m0"),
        whole.dispute(milestone="m0"),
        whole.do(request_milestone_release, "m0"),
        parts.do(request_refund, "late"),
        parts.dispute(),
        parts.do(request_release, None, None),
    ]
    for command in wrong:
        with pytest.raises(DomainError) as refusal:
            await command
        assert refusal.value.code is ErrorCode.VALIDATION_ERROR
    for command in (
        parts.do(request_milestone_release, "m9"),
        parts.do(request_refund, "x", "m9"),
        whole.do(request_completion, "m9", None),
    ):
        with pytest.raises(DomainError) as refusal:
            await command
        assert refusal.value.code is ErrorCode.MILESTONE_NOT_FOUND


async def test_what_remains_in_a_paid_out_contract_goes_to_the_buyer_once(market: Market) -> None:
    deal, gift = await Deal.funded(market, Wish(parts=(100, 200))), 10_000_000
    assert await deal.do(withdraw_remaining, gift) is None, "not before the last milestone is paid"
    for ref in ("m0", "m1"):
        await release(deal, ref)
    before = await deal.books()
    accepted = await deal.do(withdraw_remaining, gift)
    assert await deal.do(withdraw_remaining, gift) is None, "it runs"
    order = await deal.order()
    assert order.operation_id == accepted.id
    await deal.finish(order)
    assert await deal.do(withdraw_remaining, 0) is None
    after = await deal.books()
    assert after == {**before, "buyer": gift - 30_000, "protocol": before.get("protocol", 0) + 30_000}
    assert (await deal.order()).final_status is FinalStatus.RELEASED


async def test_while_drained_what_remains_is_taken_in_and_leaves_afterwards(market: Market) -> None:
    deal, gift = await Deal.funded(market, Wish(parts=(100, 200))), 10_000_000
    for ref in ("m0", "m1"):
        await release(deal, ref)
    await deal.run(lambda transaction: start_drain(transaction, "new disks"))
    for _ in range(2):
        assert await deal.do(withdraw_remaining, gift) is None
    assert (await deal.books())["escrow"] == gift
    await deal.run(end_drain)
    assert await deal.run(lambda transaction: tell_not_emptied(transaction, transaction.now)) == 1
    await deal.do(withdraw_remaining, gift)
    await deal.finish(await deal.order())
    assert "escrow" not in {name for name, balance in (await deal.books()).items() if balance}


async def test_a_refused_remainder_is_tried_again_after_a_while(market: Market) -> None:
    deal, gift = await Deal.funded(market, Wish(parts=(100, 200))), 10_000_000

    async def told(rest: timedelta) -> int:
        count: int = await deal.run(lambda transaction: tell_not_emptied(transaction, transaction.now - rest))
        return count

    for ref in ("m0", "m1"):
        assert await told(timedelta(0)) == 0, "not before the last milestone is paid"
        await release(deal, ref)
    assert await told(timedelta(0)) == 0, "nothing is left"
    await deal.do(withdraw_remaining, gift)
    assert await told(timedelta(0)) == 0, "it runs"
    await deal.refuse(await deal.order())
    assert (await deal.books())["escrow"] == gift
    assert await told(NEXT_TRY_AFTER) == 0, "it was refused just now"
    await deal.run(lambda transaction: start_drain(transaction, "new disks"))
    assert await told(timedelta(0)) == 0, "drained"
    await deal.run(end_drain)
    assert await told(timedelta(0)) == 1
    async with market.database.reading() as reader:
        told_last = await reader.first(text("SELECT workflow_id, priority FROM workflow_messages ORDER BY id DESC LIMIT 1"))
    assert told_last is not None
    assert told_last["workflow_id"] == f"order/{deal.order_id}"
    assert told_last["priority"] < BACKGROUND_PRIORITY, "an order that has ended would not be looked at"
    await deal.do(withdraw_remaining, gift)
    await deal.finish(await deal.order())
    assert "escrow" not in {name for name, balance in (await deal.books()).items() if balance}
    assert await told(timedelta(0)) == 0


async def test_the_compensation_of_a_milestones_refund_is_its_fees(market: Market) -> None:
    deal = await Deal.funded(market, Wish(parts=PARTS, fee_bps=250, make_buyer_whole=True))
    await deal.finish(await deal.do(request_refund, "late", "m1"))
    order = await deal.order()
    assert order.operation is not None
    assert order.operation.subject.buyer_stroops == sum(fees(PARTS[1]))
    await deal.finish(order)
    assert (await deal.books())["buyer"] == PARTS[1]
    await release(deal, "m0")
