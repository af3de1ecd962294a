"""Checkout in one operation, both ways it can be refused, and the way out for an escrow that was never funded."""

from __future__ import annotations

import pytest

from offerhub.commands.checkout import abandon_escrow, request_checkout
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.commands.reserve import reserve_order
from offerhub.domain.errors import DomainError, ErrorCode, LedgerMismatchError
from offerhub.domain.messages import Movement
from offerhub.domain.plans import Action, step
from offerhub.domain.states import EscrowState, FinalStatus, OrderState
from tests.integration.commands.deal import AMOUNT, Deal, Wish
from tests.integration.commands.market import Market

DEPLOY, FUND = step(Action.DEPLOY), step(Action.FUND)


@pytest.mark.parametrize("reserved_before", [False, True])
async def test_one_operation_from_nothing_to_in_progress(market: Market, reserved_before: bool) -> None:  # noqa: FBT001
    deal = await Deal.agreed(market)
    if reserved_before:
        await deal.do(reserve_order)
    accepted = await deal.do(request_checkout)
    assert (accepted.order.state, await deal.books()) == (OrderState.ESCROW_CREATING, {"reserved": AMOUNT})
    assert (await deal.do(request_checkout)).operation.id == accepted.operation.id
    assert await market.planned(accepted.operation.id) == (DEPLOY, FUND)
    await deal.apply(accepted.operation.id, DEPLOY)
    view = await deal.book(accepted.operation.id)
    assert (view.state, view.escrow_state) == ("ESCROW_FUNDING", "FUNDING")
    assert (await market.operation(accepted.operation.id)).status == "RUNNING"
    assert await market.planned(accepted.operation.id) == (FUND,)
    await deal.apply(accepted.operation.id, FUND)
    view = await deal.book(accepted.operation.id)
    assert (view.state, view.escrow_state) == ("IN_PROGRESS", "FUNDED")
    operation = await market.operation(accepted.operation.id)
    assert (operation.status, len(operation.transaction_hashes)) == ("SUCCEEDED", 2)
    assert await deal.books() == {"escrow": AMOUNT}


async def test_a_refused_deployment_leaves_the_reservation(market: Market) -> None:
    deal = await Deal.agreed(market)
    await deal.refuse(await deal.do(request_checkout))
    order = await deal.order()
    assert (order.state, order.escrow, order.operation) == (OrderState.FUNDS_RESERVED, None, None)
    assert await deal.books() == {"reserved": AMOUNT}
    await deal.finish(await deal.do(request_checkout))
    assert (await deal.order()).state is OrderState.IN_PROGRESS


async def test_a_refused_funding_leaves_an_escrow_that_waits(market: Market) -> None:
    deal = await Deal.agreed(market)
    accepted = await deal.do(request_checkout)
    await deal.apply(accepted.operation.id, DEPLOY)
    await deal.book(accepted.operation.id)
    await deal.refuse(accepted)
    order = await deal.order()
    assert (order.state, order.the_escrow.state) == (OrderState.ESCROW_FUNDING, EscrowState.CREATED)
    assert await deal.books() == {"reserved": AMOUNT}
    with pytest.raises(DomainError) as again:
        await deal.do(request_checkout)
    assert again.value.code is ErrorCode.ESCROW_ALREADY_EXISTS
    await deal.finish(await deal.do(request_funding))
    assert (await deal.order()).state is OrderState.IN_PROGRESS


async def test_a_deployment_that_applied_is_not_refused(market: Market) -> None:
    deal = await Deal.agreed(market)
    accepted = await deal.do(request_checkout)
    await deal.apply(accepted.operation.id, DEPLOY)
    assert await deal.refuse(accepted) is None


async def test_without_the_money_nothing_is_reserved_and_no_escrow_opened(market: Market) -> None:
    deal = await Deal.agreed(market)
    poor = Deal(market, deal.seller, deal.buyer, (await market.order(deal.seller, deal.buyer, AMOUNT)).id)
    with pytest.raises(DomainError) as refusal:
        await poor.do(request_checkout)
    assert refusal.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert ((await poor.order()).state, (await poor.order()).escrow) == (OrderState.ORDER_CREATED, None)


async def test_a_wallet_that_is_not_ready_leaves_the_money_unreserved(market: Market) -> None:
    deal = await Deal.agreed(market)
    async with market.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE wallets SET state = 'ACTIVATING' WHERE user_id IS NOT NULL")
    with pytest.raises(DomainError) as refusal:
        await deal.do(request_checkout)
    assert refusal.value.code is ErrorCode.WALLET_NOT_READY
    assert await deal.books() == {"buyer": AMOUNT}


async def test_other_money_than_the_orders_is_not_booked_as_its_funding(market: Market) -> None:
    deal = await Deal.agreed(market)
    accepted = await deal.do(request_checkout)
    await deal.apply(accepted.operation.id, DEPLOY)
    await deal.book(accepted.operation.id)
    contract = str((await deal.order()).the_escrow.contract_id)
    await deal.apply(accepted.operation.id, FUND, Movement(str(deal.buyer.public_key), contract, AMOUNT - 1))
    with pytest.raises(LedgerMismatchError):
        await deal.book(accepted.operation.id)
    assert await deal.books() == {"reserved": AMOUNT}


async def test_an_escrow_that_was_never_funded_is_abandoned_once(market: Market) -> None:
    deal = await Deal.in_state(market, OrderState.ESCROW_FUNDING)
    for _ in range(2):
        closed = await deal.do(abandon_escrow, "changed my mind")
        assert (closed.state, closed.final_status, closed.the_escrow.state) == ("CLOSED", FinalStatus.CANCELED, EscrowState.ABANDONED)
    order = await deal.order()
    assert (order.cancel_reason, bool(order.the_escrow.contract_id)) == ("changed my mind", True)
    assert await deal.books() == {"buyer": AMOUNT}
    told = [name for name, _ in await deal.events()][-4:]
    assert told == ["balance.released", "order.closed", "escrow.abandoned", "order.canceled"]
    with pytest.raises(DomainError) as refusal:
        await deal.do(request_funding)
    assert (refusal.value.code, refusal.value.details["currentState"]) == (ErrorCode.INVALID_STATE, "CLOSED")


async def test_what_is_being_funded_is_not_abandoned(market: Market) -> None:
    deal = await Deal.in_state(market, OrderState.ESCROW_FUNDING)
    funding = await deal.do(request_funding)
    with pytest.raises(DomainError) as refusal:
        await deal.do(abandon_escrow, None)
    assert (refusal.value.code, refusal.value.details["operationId"]) == (ErrorCode.INVALID_STATE, funding.operation.id)
    await deal.refuse(funding)
    assert (await deal.do(abandon_escrow, None)).final_status is FinalStatus.CANCELED


async def test_a_deployment_that_ends_after_its_money_was_claimed_elsewhere_still_holds_the_reservation(market: Market) -> None:
    deal = await Deal.agreed(market, Wish())
    await deal.do(reserve_order)
    await deal.finish(await deal.do(request_escrow))
    other = await market.order(deal.buyer, deal.seller, 1)
    with pytest.raises(DomainError) as refusal:
        await deal.run(lambda transaction: reserve_order(transaction, other.id))
    assert refusal.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert await deal.books() == {"reserved": AMOUNT}
