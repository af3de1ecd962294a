"""An order through its commands, and every way it is refused on the way."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.commands.operations import book_operation, refuse_operation
from offerhub.commands.release import request_release
from offerhub.commands.reserve import cancel_order, reserve_order
from offerhub.commands.wallets import record_wallets
from offerhub.domain.errors import DomainError, ErrorCode, LedgerMismatchError
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.states import EscrowState, FinalStatus, MilestoneState, OrderState
from offerhub.storage import wallets
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.integration.commands.market import PLATFORM, SIGNER, Market, wallet

AMOUNT = 800_000_000
TW = "GTRUSTLESS"


async def reserved(market: Market, fee_bps: int = 0) -> tuple[UserRecord, UserRecord, OrderRecord]:
    buyer, seller = await market.user(AMOUNT), await market.user()
    order = await market.order(buyer, seller, AMOUNT, fee_bps)
    async with market.command() as transaction:
        order = await reserve_order(transaction, order.id)
    return buyer, seller, order


async def funded(market: Market, fee_bps: int = 0) -> tuple[UserRecord, UserRecord, OrderRecord]:
    buyer, seller, order = await reserved(market, fee_bps)
    async with market.command() as transaction:
        deployment = await request_escrow(transaction, order.id)
    await market.apply(await market.sign(deployment.operation.id, SIGNER))
    async with market.command() as transaction:
        await book_operation(transaction, deployment.operation.id)
    async with market.command() as transaction:
        funding = await request_funding(transaction, order.id)
    contract = str((await market.get(order)).the_escrow.contract_id)
    attempt = await market.sign(funding.operation.id, str(buyer.public_key))
    await market.apply(attempt, Movement(str(buyer.public_key), contract, AMOUNT))
    async with market.command() as transaction:
        await book_operation(transaction, funding.operation.id)
    return buyer, seller, await market.get(order)


async def approved(market: Market, order: OrderRecord, buyer: UserRecord, seller: UserRecord) -> str:
    """Request the release and apply its milestone steps; the pay-out is what is left."""
    async with market.command() as transaction:
        release = await request_release(transaction, order.id, None, None)
    await market.apply(await market.sign(release.operation.id, str(seller.public_key)))
    await market.apply(await market.sign(release.operation.id, str(buyer.public_key)))
    return release.operation.id


async def test_a_released_order_pays_seller_platform_and_protocol_to_the_stroop(market: Market) -> None:
    buyer, seller, order = await funded(market, fee_bps=250)
    assert order.state is OrderState.IN_PROGRESS
    assert await market.balance(buyer) == (0, 0, AMOUNT)
    operation_id = await approved(market, order, buyer, seller)
    contract = str(order.the_escrow.contract_id)
    payout = await market.sign(operation_id, str(buyer.public_key))
    movements = (
        Movement(contract, TW, 2_400_000),
        Movement(contract, PLATFORM, 20_000_000),
        Movement(contract, str(seller.public_key), 777_600_000),
    )
    await market.apply(payout, *movements)
    async with market.command() as transaction:
        view = await book_operation(transaction, operation_id)
    closed = await market.get(order)
    assert (view.state, closed.final_status, closed.the_escrow.state) == ("CLOSED", FinalStatus.RELEASED, EscrowState.RELEASED)
    assert [milestone.state for milestone in closed.milestones] == [MilestoneState.RELEASED]
    assert await market.balance(buyer) == (0, 0, 0)
    assert await market.balance(seller) == (777_600_000, 0, 0)
    assert await market.account(f"escrow:{closed.the_escrow.id}") == 0
    assert await market.account("platform:revenue") == 20_000_000
    assert await market.account("protocol:fees") == 2_400_000
    operation = await market.operation(operation_id)
    assert operation.status == "SUCCEEDED"
    assert len(operation.transaction_hashes) == 3


async def test_booking_twice_books_once(market: Market) -> None:
    buyer, seller, order = await funded(market)
    operation_id = await approved(market, order, buyer, seller)
    contract = str(order.the_escrow.contract_id)
    payout = await market.sign(operation_id, str(buyer.public_key))
    await market.apply(payout, Movement(contract, TW, 2_400_000), Movement(contract, str(seller.public_key), AMOUNT - 2_400_000))
    for _ in range(2):
        async with market.command() as transaction:
            assert (await book_operation(transaction, operation_id)).state == "CLOSED"
    assert await market.balance(seller) == (AMOUNT - 2_400_000, 0, 0)


async def test_a_pay_out_other_than_the_quote_is_not_booked(market: Market) -> None:
    buyer, seller, order = await funded(market)
    operation_id = await approved(market, order, buyer, seller)
    contract = str(order.the_escrow.contract_id)
    payout = await market.sign(operation_id, str(buyer.public_key))
    await market.apply(payout, Movement(contract, TW, 2_400_001), Movement(contract, str(seller.public_key), AMOUNT - 2_400_001))
    with pytest.raises(LedgerMismatchError, match=r"0.24 USDC to the protocol, .*, the chain paid 0.2400001 USDC to the protocol"):
        async with market.command() as transaction:
            await book_operation(transaction, operation_id)
    assert (await market.get(order)).state is OrderState.RELEASE_REQUESTED
    assert await market.balance(seller) == (0, 0, 0)


async def test_an_operation_is_not_booked_before_its_last_step_applied(market: Market) -> None:
    buyer, seller, order = await funded(market)
    operation_id = await approved(market, order, buyer, seller)
    with pytest.raises(LookupError):
        async with market.command() as transaction:
            await book_operation(transaction, operation_id)
    assert (await market.get(order)).state is OrderState.RELEASE_REQUESTED


async def test_a_refused_release_goes_back_and_the_next_one_does_only_what_is_left(market: Market) -> None:
    buyer, seller, order = await funded(market)
    operation_id = await approved(market, order, buyer, seller)
    async with market.command() as transaction:
        await refuse_operation(transaction, Refusal(operation_id, "release", "ESCROW_REJECTED", "the contract said no"))
    back = await market.get(order)
    assert (back.state, back.the_escrow.state) == (OrderState.IN_PROGRESS, EscrowState.FUNDED)
    assert (await market.operation(operation_id)).error == {"code": "ESCROW_REJECTED", "message": "the contract said no", "details": {}}
    async with market.command() as transaction:
        again = await request_release(transaction, order.id, None, None)
    attempt = await market.sign(again.operation.id, str(buyer.public_key))
    assert attempt.step is not None
    assert attempt.step["action"] == "release"


async def test_a_refused_deployment_leaves_no_escrow_and_the_reservation_stays(market: Market) -> None:
    buyer, _, order = await reserved(market)
    async with market.command() as transaction:
        accepted = await request_escrow(transaction, order.id)
    async with market.command() as transaction:
        await refuse_operation(transaction, Refusal(accepted.operation.id, "escrow_creation", "ESCROW_REJECTED", "no trustline"))
    back = await market.get(order)
    assert (back.state, back.escrow) == (OrderState.FUNDS_RESERVED, None)
    assert await market.balance(buyer) == (0, AMOUNT, 0)
    async with market.command() as transaction:
        assert (await request_escrow(transaction, order.id)).order.state is OrderState.ESCROW_CREATING


async def test_repeated_requests_find_the_running_operation(market: Market) -> None:
    _, _, order = await reserved(market)
    async with market.command() as transaction:
        first = await request_escrow(transaction, order.id)
    async with market.command() as transaction:
        second = await request_escrow(transaction, order.id)
    assert second.operation.id == first.operation.id


async def test_reserving_needs_the_money_and_happens_once(market: Market) -> None:
    buyer, seller = await market.user(AMOUNT), await market.user()
    order, other = await market.order(buyer, seller, AMOUNT), await market.order(buyer, seller, AMOUNT)
    async with market.command() as transaction:
        await reserve_order(transaction, order.id)
    with pytest.raises(DomainError) as twice:
        async with market.command() as transaction:
            await reserve_order(transaction, order.id)
    with pytest.raises(DomainError) as broke:
        async with market.command() as transaction:
            await reserve_order(transaction, other.id)
    assert twice.value.code is ErrorCode.FUNDS_ALREADY_RESERVED
    assert broke.value.code is ErrorCode.INSUFFICIENT_FUNDS
    assert broke.value.details == {"available": "0.00", "requested": "80.00", "currency": "USDC"}


async def test_twenty_orders_at_once_reserve_no_more_than_there_is(market: Market) -> None:
    buyer, seller = await market.user(7 * AMOUNT), await market.user()
    created = [await market.order(buyer, seller, AMOUNT) for _ in range(20)]

    async def attempt(order: OrderRecord) -> str:
        try:
            async with market.command() as transaction:
                return (await reserve_order(transaction, order.id)).state
        except DomainError as refusal:
            return refusal.code

    answers = Counter(await asyncio.gather(*(attempt(order) for order in created)))
    assert answers == {"FUNDS_RESERVED": 7, "INSUFFICIENT_FUNDS": 13}
    assert await market.balance(buyer) == (0, 7 * AMOUNT, 0)


async def test_cancel_gives_the_reservation_back_and_is_refused_once_an_escrow_is_on_its_way(market: Market) -> None:
    buyer, _, order = await reserved(market)
    for _ in range(2):
        async with market.command() as transaction:
            canceled = await cancel_order(transaction, order.id, "changed my mind", "buyer")
        assert canceled.final_status is FinalStatus.CANCELED
    assert await market.balance(buyer) == (AMOUNT, 0, 0)
    _, _, other = await reserved(market)
    async with market.command() as transaction:
        await request_escrow(transaction, other.id)
    with pytest.raises(DomainError) as refusal:
        async with market.command() as transaction:
            await cancel_order(transaction, other.id, None, None)
    assert refusal.value.details == {"currentState": "ESCROW_CREATING", "allowedStates": ["ORDER_CREATED", "FUNDS_RESERVED"]}


async def test_release_before_the_escrow_is_funded_names_the_state_it_needs(market: Market) -> None:
    _, _, order = await reserved(market)
    with pytest.raises(DomainError) as refusal:
        async with market.command() as transaction:
            await request_release(transaction, order.id, None, None)
    assert refusal.value.code is ErrorCode.INVALID_STATE
    assert refusal.value.details == {"currentState": "FUNDS_RESERVED", "allowedStates": ["IN_PROGRESS"]}


async def test_escrows_requested_at_once_are_spread_evenly_over_the_signers(market: Market) -> None:
    pool = [wallet("SIGNER") for _ in range(3)]
    async with market.command() as transaction:
        await record_wallets(transaction, pool)
        await wallets.move(transaction, [signer.public_key for signer in pool], "PREPARED", "ACTIVATING")
        await wallets.mark_ready(transaction, [signer.public_key for signer in pool])
    buyer, seller = await market.user(24 * AMOUNT), await market.user()
    created = [await market.order(buyer, seller, AMOUNT) for _ in range(24)]

    async def request(order: OrderRecord) -> str:
        async with market.command() as transaction:
            await reserve_order(transaction, order.id)
        async with market.command() as transaction:
            return (await request_escrow(transaction, order.id)).order.the_escrow.signer

    used = Counter(await asyncio.gather(*(request(order) for order in created)))
    assert used == {SIGNER: 6, **{signer.public_key: 6 for signer in pool}}


async def test_an_operation_whose_envelope_may_still_apply_is_not_refused(market: Market) -> None:
    buyer, _, order = await reserved(market)
    async with market.command() as transaction:
        deployment = await request_escrow(transaction, order.id)
    await market.apply(await market.sign(deployment.operation.id, SIGNER))
    async with market.command() as transaction:
        await book_operation(transaction, deployment.operation.id)
    async with market.command() as transaction:
        funding = await request_funding(transaction, order.id)
    no = Refusal(funding.operation.id, "escrow_funding", "PROVIDER_ERROR", "the contract looks wrong now")
    attempt = await market.sign(funding.operation.id, str(buyer.public_key))
    async with market.command() as transaction:
        assert await refuse_operation(transaction, no) is None
    contract = str((await market.get(order)).the_escrow.contract_id)
    await market.apply(attempt, Movement(str(buyer.public_key), contract, AMOUNT))
    async with market.command() as transaction:
        assert await refuse_operation(transaction, no) is None
    assert (await market.operation(funding.operation.id)).status == "RUNNING"
    async with market.command() as transaction:
        assert (await book_operation(transaction, funding.operation.id)).state == "IN_PROGRESS"
    async with market.command() as transaction:
        assert await refuse_operation(transaction, no) is not None
    assert (await market.operation(funding.operation.id)).status == "SUCCEEDED"
