"""Refunds: paid to the stroop, refused before and after the contract is frozen, made whole by the platform, found money included."""

from __future__ import annotations

import pytest

from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_release
from offerhub.commands.remainder import take_in_excess
from offerhub.domain.errors import DomainError, ErrorCode, LedgerMismatchError
from offerhub.domain.messages import Movement
from offerhub.domain.plans import Action, OperationKind, Party, step
from offerhub.domain.states import Decision, DisputeState, EscrowState, FinalStatus, MilestoneState, OrderState
from offerhub.storage import replay
from tests.integration.commands.deal import AMOUNT, Deal, Wish
from tests.integration.commands.disputing import decide
from tests.integration.commands.market import PLATFORM, Market

FREEZE = step(Action.DISPUTE_BY_BUYER)
RESOLVE = step(Action.RESOLVE)


async def test_a_refund_pays_the_buyer_less_the_contracts_fees_to_the_stroop(market: Market) -> None:
    deal = await Deal.funded(market, Wish(amount=799_999_999, fee_bps=250))
    accepted = await deal.do(request_refund, "not what was agreed")
    assert accepted.order.state is OrderState.REFUND_REQUESTED
    assert await market.planned(accepted.operation.id) == (FREEZE, RESOLVE)
    await deal.finish(accepted)
    order = await deal.order()
    assert (order.state, order.final_status) == (OrderState.CLOSED, FinalStatus.REFUNDED)
    assert (order.the_escrow.state, bool(order.the_escrow.refund_hash)) == (EscrowState.REFUNDED, True)
    assert [milestone.state for milestone in order.milestones] == [MilestoneState.REFUNDED]
    platform, protocol = 19_999_999, 2_399_999
    assert await deal.books() == {"buyer": 799_999_999 - platform - protocol, "platform": platform, "protocol": protocol}
    told = [name for name, _ in await deal.events() if "refund" in name]
    assert told == ["order.refund_requested", "order.refunded", "escrow.refunded"]


async def test_a_second_refund_is_answered_with_the_first(market: Market) -> None:
    deal = await Deal.funded(market)
    first, running = await deal.do(request_refund, "late"), await deal.do(request_refund, "later")
    await deal.finish(first)
    done = await deal.do(request_refund, "once more")
    assert running.operation.id == done.operation.id == first.operation.id
    assert await deal.books() == {"buyer": AMOUNT - 2_400_000, "protocol": 2_400_000}


async def test_a_refund_refused_before_the_freeze_leaves_the_order_in_progress(market: Market) -> None:
    deal = await Deal.funded(market)
    view = await deal.refuse(await deal.do(request_refund, "late"))
    order = await deal.order()
    assert view is not None
    assert (view.state, order.state, order.the_escrow.state, order.dispute) == ("IN_PROGRESS", "IN_PROGRESS", EscrowState.FUNDED, None)
    assert await deal.books() == {"escrow": AMOUNT}
    await deal.finish(await deal.do(request_refund, "again"))
    assert (await deal.order()).final_status is FinalStatus.REFUNDED


async def test_a_refund_refused_after_the_freeze_leaves_a_dispute_for_a_person(market: Market) -> None:
    deal = await Deal.funded(market)
    refund = await deal.do(request_refund, "late")
    await deal.apply(refund.operation.id, FREEZE)
    await deal.refuse(refund)
    order = await deal.order()
    assert order.dispute is not None
    assert (order.state, order.the_escrow.state, order.dispute.state) == ("DISPUTED", EscrowState.DISPUTED, DisputeState.OPEN)
    assert order.dispute.frozen_hash == order.the_escrow.dispute_hash
    assert order.dispute.frozen_hash is not None
    assert "the contract said no" in str(order.dispute.description)
    await deal.finish(await decide(deal, order.dispute.id, Decision.FULL_REFUND))
    assert (await deal.order()).final_status is FinalStatus.REFUNDED
    assert await deal.books() == {"buyer": AMOUNT - 2_400_000, "protocol": 2_400_000}


async def test_a_refund_whose_money_may_still_move_is_not_refused(market: Market) -> None:
    deal = await Deal.funded(market)
    refund = await deal.do(request_refund, "late")
    await deal.apply(refund.operation.id, FREEZE)
    await deal.apply(refund.operation.id, RESOLVE)
    assert await deal.refuse(refund) is None
    await deal.book(refund.operation.id)
    assert (await deal.order()).final_status is FinalStatus.REFUNDED


async def test_a_refund_other_than_promised_is_not_booked(market: Market) -> None:
    deal = await Deal.funded(market)
    refund = await deal.do(request_refund, "late")
    contract = str((await deal.order()).the_escrow.contract_id)
    await deal.apply(refund.operation.id, FREEZE)
    await deal.apply(refund.operation.id, RESOLVE, Movement(contract, str(deal.buyer.public_key), AMOUNT))
    with pytest.raises(LedgerMismatchError):
        await deal.book(refund.operation.id)
    assert await deal.books() == {"escrow": AMOUNT}


@pytest.mark.parametrize("fee_bps", [0, 30, 250])
async def test_the_platform_makes_the_buyer_whole_even_beyond_what_it_earned(market: Market, fee_bps: int) -> None:
    deal = await Deal.funded(market, Wish(fee_bps=fee_bps, make_buyer_whole=True))
    await deal.finish(await deal.do(request_refund, "late"))
    fees = AMOUNT * (30 + fee_bps) // 10_000
    order = await deal.order()
    assert order.operation is not None
    assert (order.state, order.operation.kind, order.operation.subject.buyer_stroops) == ("CLOSED", OperationKind.COMPENSATION, fees)
    assert (await deal.books())["buyer"] == AMOUNT - fees
    await deal.finish(order)
    assert await deal.books() == {"buyer": AMOUNT, "protocol": AMOUNT * 30 // 10_000}
    sources = [payload["source"] for name, payload in await deal.events("balance.credited") if payload["userId"] == deal.buyer.id]
    assert sources == ["stellar_deposit", "escrow_refund", "refund_compensation"]
    async with market.database.reading() as reader:
        moved = await replay.on_chain(reader, deal.buyer.id, None, 10)
    contract = order.the_escrow.contract_id
    assert [(one.kind, one.other_account) for one in moved] == [
        ("compensation", PLATFORM),
        ("refund", contract),
        ("fund", contract),
        ("deposit", "GOUTSIDE"),
    ]
    assert {one.account for one in moved} == {deal.buyer.public_key}


async def test_another_compensation_than_accepted_is_not_booked(market: Market) -> None:
    deal = await Deal.funded(market, Wish(make_buyer_whole=True))
    await deal.finish(await deal.do(request_refund, "late"))
    operation_id = str((await deal.order()).operation_id)
    await deal.apply(operation_id, step(Action.COMPENSATE), Movement(PLATFORM, str(deal.buyer.public_key), 1))
    with pytest.raises(LedgerMismatchError):
        await deal.book(operation_id)


async def test_what_a_stranger_paid_in_goes_to_the_buyer_even_at_the_second_attempt(market: Market) -> None:
    deal, gift = await Deal.funded(market), 50_000_000
    refund = await deal.do(request_refund, "late")
    for _ in range(2):
        await deal.run(lambda transaction: take_in_excess(transaction, refund.operation.id, AMOUNT + gift))
    assert await deal.books() == {"escrow": AMOUNT + gift}
    await deal.refuse(refund)
    again = await deal.do(request_refund, "again")
    await deal.run(lambda transaction: take_in_excess(transaction, again.operation.id, AMOUNT + gift))
    assert (await market.operation(again.operation.id)).subject.excess_stroops == gift
    await deal.finish(await with_operation(deal, again))
    protocol = (AMOUNT + gift) * 30 // 10_000
    assert await deal.books() == {"buyer": AMOUNT + gift - protocol, "protocol": protocol}
    assert [payload["amount"] for _, payload in await deal.events("escrow.excess_found")] == ["5.00"]


async def with_operation(deal: Deal, accepted: object) -> object:
    """The operation as it is now."""
    order = await deal.order()
    assert order.operation_id == accepted.operation.id  # type: ignore[attr-defined] # both have one
    return order


async def test_nothing_is_taken_in_once_the_resolution_is_signed(market: Market) -> None:
    deal = await Deal.funded(market)
    refund = await deal.do(request_refund, "late")
    await deal.apply(refund.operation.id, FREEZE)
    await market.sign_step(refund.operation.id, RESOLVE, "GSIGNER")
    await deal.run(lambda transaction: take_in_excess(transaction, refund.operation.id, AMOUNT + 1))
    assert (await market.operation(refund.operation.id)).subject.excess_stroops == 0
    assert await deal.books() == {"escrow": AMOUNT}


async def test_refund_release_and_dispute_exclude_each_other(market: Market) -> None:
    deal = await Deal.in_state(market, OrderState.REFUND_REQUESTED)
    with pytest.raises(DomainError) as releasing:
        await deal.do(request_release, None, None)
    with pytest.raises(DomainError) as disputing:
        await deal.dispute(Party.SELLER)
    for refusal in (releasing, disputing):
        assert refusal.value.code is ErrorCode.INVALID_STATE
        assert refusal.value.details == {"currentState": "REFUND_REQUESTED", "allowedStates": ["IN_PROGRESS"]}
