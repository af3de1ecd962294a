"""How an order may end besides a release, on the real parts: refund, checkout, abandonment, and money from strangers on the way."""

from __future__ import annotations

import pytest

from offerhub.commands.checkout import abandon_escrow, request_checkout
from offerhub.commands.orders import CreateOrder, Terms, create_order
from offerhub.commands.refund import request_refund
from offerhub.domain import ledger
from offerhub.domain.plans import OperationKind
from offerhub.storage import operations
from offerhub.storage.operations import OperationRecord
from offerhub.storage.users import UserRecord
from tests.e2e.contracts import assert_paid, gift, shares, trade
from tests.e2e.rig import FEE_BPS, Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Not a round number of stroops, so that both fees are floored.
AMOUNT = 800_000_333


async def test_refund_pays_the_buyer_what_the_quote_says(rig: Rig) -> None:
    buyer, seller = await trade(rig, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    accepted = await rig.commit(lambda t: request_refund(t, order.id, "late"))
    assert accepted.operation.workflow_id == f"refund/{order.id}"
    refunded = await rig.succeeded(accepted)
    closed = await rig.closed(order.id, "REFUNDED")
    assert (closed.the_escrow.state, refunded.transaction_hashes[-1]) == ("REFUNDED", closed.the_escrow.refund_hash)
    assert [attempt.state for attempt in await rig.attempts_of(refunded.id)] == ["CONFIRMED"] * 2
    await assert_paid(rig, closed, (buyer, seller), shares(0, AMOUNT))
    summaries = await rig.activity_summaries(f"refund/{order.id}")
    assert f"freeze escrow · buyer {buyer.id} · 80.0000333 USDC" in summaries
    assert "resolve dispute · platform · 80.0000333 USDC" in summaries


async def test_refund_with_a_promise_to_make_the_buyer_whole_costs_the_buyer_nothing(rig: Rig) -> None:
    await _earn(rig)
    buyer, seller = await trade(rig, AMOUNT)
    order = await _order(rig, (buyer, seller), AMOUNT, Terms(FEE_BPS, make_buyer_whole=True))
    await rig.funded(order)
    await rig.succeeded(await rig.commit(lambda t: request_refund(t, order, "late")))
    closed = await rig.closed(order, "REFUNDED")
    compensation = await _last(rig, order, OperationKind.COMPENSATION)
    assert (compensation.status, compensation.workflow_id) == ("SUCCEEDED", f"compensation/{order}")
    lost = shares(0, AMOUNT).fees_stroops
    assert await rig.balance(ledger.available(buyer.id)) == AMOUNT == await rig.on_chain(str(buyer.public_key))
    assert compensation.subject.buyer_stroops == lost
    assert await rig.in_contract(closed.the_escrow.contract_id) == 0
    await rig.assert_books_equal_chain(buyer, seller)
    [credited] = [one for one in await rig.events_of("balance.credited", buyer.id) if one["source"] == "refund_compensation"]
    assert credited["available"] == "80.0000333"


async def test_compensation_is_refused_when_the_platform_has_earned_too_little(rig: Rig) -> None:
    """The refund stands, and the next order is not held up."""
    earned = await rig.balance(ledger.PLATFORM_REVENUE)
    # The protocol's 0.3 % of this is more than all that was ever earned.
    amount = earned * 400 + AMOUNT
    buyer, seller = await trade(rig, amount)
    order = await _order(rig, (buyer, seller), amount, Terms(0, make_buyer_whole=True))
    await rig.funded(order)
    await rig.succeeded(await rig.commit(lambda t: request_refund(t, order, "late")))
    closed = await rig.closed(order, "REFUNDED")
    compensation = await _last(rig, order, OperationKind.COMPENSATION)
    assert compensation.error is not None
    assert (compensation.status, compensation.error["code"]) == ("FAILED", "INSUFFICIENT_FUNDS")
    assert await rig.balance(ledger.PLATFORM_REVENUE) == earned
    await assert_paid(rig, closed, (buyer, seller), shares(0, amount, fee_bps=0))


async def test_checkout_reserves_deploys_and_funds_in_one_operation(rig: Rig) -> None:
    buyer, seller = await trade(rig, AMOUNT)
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo design")
    order = await rig.commit(lambda t: create_order(t, request, Terms(FEE_BPS)))
    accepted = await rig.commit(lambda t: request_checkout(t, order.id))
    assert (await rig.commit(lambda t: request_checkout(t, order.id))).operation.id == accepted.operation.id
    done = await rig.succeeded(accepted)
    bought = await rig.read_order(order.id)
    assert (bought.state, bought.the_escrow.state) == ("IN_PROGRESS", "FUNDED")
    assert done.transaction_hashes == [bought.the_escrow.deploy_hash, bought.the_escrow.fund_hash]
    assert await rig.balance(ledger.in_escrow(bought.the_escrow.id)) == AMOUNT == await rig.in_contract(bought.the_escrow.contract_id)
    assert await rig.has_scheduled(accepted.operation.workflow_id, "read_contract_back")
    await rig.assert_books_equal_chain(buyer, seller)
    await rig.succeeded(await rig.accept_release(order.id))
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), (buyer, seller), shares(AMOUNT, 0))


async def test_checkout_whose_funding_is_refused_rests_with_an_escrow_that_can_be_abandoned(rig: Rig) -> None:
    buyer, seller = await trade(rig, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.withdraw_behind_our_back(buyer)
    refused = await rig.finished(await rig.commit(lambda t: request_checkout(t, order.id)))
    assert refused.status == "FAILED"
    resting = await rig.read_order(order.id)
    assert (resting.state, resting.the_escrow.state) == ("ESCROW_FUNDING", "CREATED")
    await rig.commit(lambda t: abandon_escrow(t, order.id, "the buyer's money is gone"))
    closed = await rig.closed(order.id, "CANCELED")
    assert closed.the_escrow.state == "ABANDONED"
    assert await rig.balance(ledger.reserved(buyer.id)) == 0
    assert await rig.balance(ledger.available(buyer.id)) == AMOUNT
    client = await rig.temporal()
    assert await client.get_workflow_handle(f"order/{order.id}").result() == "CANCELED"


async def test_what_a_stranger_pays_into_the_contract_goes_to_the_buyer_with_the_refund(rig: Rig) -> None:
    """Without knowing of it the contract would refuse: it pays out all it holds or nothing."""
    extra = 12_345_678
    buyer, seller = await trade(rig, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    contract_id = str((await rig.read_order(order.id)).the_escrow.contract_id)
    await gift(rig, contract_id, extra)
    assert await rig.in_contract(contract_id) == AMOUNT + extra
    accepted = await rig.commit(lambda t: request_refund(t, order.id, "late"))
    await rig.succeeded(accepted)
    closed = await rig.closed(order.id, "REFUNDED")
    await assert_paid(rig, closed, (buyer, seller), shares(0, AMOUNT + extra))
    [found] = await rig.events_of("escrow.excess_found", closed.the_escrow.id)
    assert (found["amount"], found["operationId"]) == ("1.2345678", accepted.operation.id)


async def _order(rig: Rig, parties: tuple[UserRecord, UserRecord], amount: int, terms: Terms) -> str:
    buyer, seller = parties
    return (await rig.reserved(CreateOrder(buyer.id, seller.id, amount, "USDC", "Logo design"), terms)).id


async def _earn(rig: Rig) -> None:
    """A released order's fee, for the platform to give away."""
    buyer, seller = await trade(rig, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    await rig.succeeded(await rig.accept_release(order.id))


async def _last(rig: Rig, order_id: str, kind: OperationKind) -> OperationRecord:
    async with rig.database.reading() as reader:
        found = await operations.last(reader, order_id, kind)
    assert found is not None
    return found
