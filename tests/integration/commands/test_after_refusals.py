"""What a refusal, a lost answer or an empty wallet leaves behind: nobody is paid by accident, nothing waits for ever."""

from __future__ import annotations

import pytest

from offerhub.commands.checkout import request_checkout
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.operations import refuse_operation
from offerhub.commands.refund import request_compensation, request_refund
from offerhub.commands.release import request_release
from offerhub.domain.errors import DomainError
from offerhub.domain.messages import Refusal
from offerhub.domain.plans import Action, step
from offerhub.domain.states import Decision
from tests.integration.commands.deal import Deal, Wish
from tests.integration.commands.market import Market
from tests.integration.commands.test_deadlines import DAY_S, IN_PARTS, auto_release_at, deliver, passes


async def test_a_checkouts_deployment_booked_twice_waits_for_its_funding(market: Market) -> None:
    deal = await Deal.agreed(market)
    checkout = await deal.do(request_checkout)
    await deal.apply(checkout.operation.id, step(Action.DEPLOY))
    await deal.book(checkout.operation.id)
    await deal.book(checkout.operation.id)
    assert (await deal.order()).state == "ESCROW_FUNDING"
    await deal.apply(checkout.operation.id, step(Action.FUND))
    await deal.book(checkout.operation.id)
    assert (await deal.order()).state == "IN_PROGRESS"


@pytest.mark.parametrize("objection", ["dispute", "refund"])
async def test_who_objected_in_time_has_the_time_again_when_the_chain_refuses(market: Market, objection: str) -> None:
    deal = await Deal.funded(market, Wish(auto_release_after_s=DAY_S))
    await deliver(deal, "m0")
    await deal.later(DAY_S - 60)
    objected = await (deal.dispute() if objection == "dispute" else deal.do(request_refund, "late"))
    await deal.later(DAY_S + 60)
    await deal.refuse(objected, "PROVIDER_ERROR")
    assert (await passes(deal)).state == "IN_PROGRESS"
    await deal.later(2 * DAY_S)
    assert (await passes(deal)).state == "IN_PROGRESS"
    await deal.later(2 * DAY_S + 120)
    assert (await passes(deal)).state == "RELEASE_REQUESTED"


async def test_a_delivery_that_a_refused_release_recorded_is_paid_in_time(market: Market) -> None:
    deal = await Deal.funded(market, Wish(auto_release_after_s=DAY_S))
    release = await deal.do(request_release, None, None)
    await deal.apply(release.operation.id, step(Action.COMPLETE_MILESTONE, 0))
    await deal.refuse(release)
    assert await auto_release_at(deal) is not None
    await deal.later(DAY_S + 60)
    assert (await passes(deal)).state == "RELEASE_REQUESTED"


async def test_a_milestone_that_cannot_be_paid_stops_no_other(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    await deliver(deal, "m0", "m1")
    tried = []
    for turn in range(3):
        await deal.later(DAY_S + 60 + 3_700 * turn)
        await passes(deal)
        order = await deal.order()
        assert order.operation is not None
        tried.append(order.operation.subject.milestone_index)
        await deal.refuse(order)
    assert tried == [0, 1, 0]


async def test_a_dispute_left_behind_by_a_refund_has_the_deadlines_of_any_other(market: Market) -> None:
    deal = await Deal.funded(market)
    refund = await deal.do(request_refund, "late")
    await deal.apply(refund.operation.id, step(Action.DISPUTE_BY_BUYER))
    refusal = Refusal(refund.operation.id, refund.operation.kind, "ESCROW_REJECTED", "the contract said no")
    deadlines = DisputeDeadlines(60, 120, Decision.FULL_REFUND)
    await deal.run(lambda transaction: refuse_operation(transaction, refusal, deadlines))
    dispute = (await deal.order()).dispute
    assert dispute is not None
    assert dispute.default_decision is Decision.FULL_REFUND
    assert dispute.escalates_at is not None
    assert dispute.decides_at is not None


async def test_a_refused_compensation_is_paid_when_asked_again(market: Market) -> None:
    deal = await Deal.funded(market, Wish(make_buyer_whole=True))
    with pytest.raises(DomainError, match="No fees are owed"):
        await deal.do(request_compensation)
    await deal.finish(await deal.do(request_refund, "late"))
    await deal.refuse(await deal.order(), "STELLAR_NETWORK_ERROR")
    again = await deal.do(request_compensation)
    assert (await deal.do(request_compensation)).operation.id == again.operation.id
    await deal.finish(again)
    assert (await deal.do(request_compensation)).operation.id == again.operation.id
    assert (await deal.order()).operation is None


async def test_of_several_refused_compensations_none_is_forgotten(market: Market) -> None:
    """Each milestone's fees are owed by themselves: neither a later refusal nor a later payment of another's covers them."""
    deal = await Deal.funded(market, Wish(parts=(300_000_000, 500_000_000, 100_000_000), make_buyer_whole=True))
    owed = []
    for milestone in ("m0", "m1", "m2"):
        await deal.finish(await deal.do(request_refund, "late", milestone))
        order = await deal.order()
        assert order.operation is not None
        owed.append(order.operation.subject)
        await (deal.finish(order) if milestone == "m2" else deal.refuse(order, "STELLAR_NETWORK_ERROR"))
    first = await deal.do(request_compensation)
    assert first.operation.subject == owed[0]
    await deal.refuse(first, "STELLAR_NETWORK_ERROR")
    second = await deal.do(request_compensation)
    await deal.finish(second)
    third = await deal.do(request_compensation)
    await deal.finish(third)
    assert [second.operation.subject, third.operation.subject] == [owed[1], owed[0]]
    assert (await deal.do(request_compensation)).operation.id == third.operation.id
