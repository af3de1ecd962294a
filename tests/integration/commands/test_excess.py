"""What a contract holds beyond the books, read over RPC: it goes to the buyer, once, and a server that is behind is not believed."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest
from temporalio.testing import ActivityEnvironment

from activities.intents import escrow_step
from activities.read_back import ReadBackActivities
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.commands.operations import begin_operation, book_operation
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms, create_order
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release
from offerhub.commands.reserve import reserve_order
from offerhub.domain.intents import ResolveEscrow, WithdrawRemaining
from offerhub.domain.messages import Movement
from offerhub.domain.plans import OperationKind, parse_intent_id
from offerhub.domain.states import OrderState, ReleaseMode
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.horizon import HorizonUnavailable
from offerhub.stellar.ledger_keys import balance_key
from offerhub.storage import users
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from tests.integration.commands.market import SIGNER, Market
from tests.unit.stellar.horizon_server import Answer, HorizonServer
from tests.unit.stellar.offered import NETWORK
from tests.unit.stellar.test_contract_rpc import balance

AMOUNT = 800_000_000
FEE = AMOUNT * 30 // 10_000
TW = "GTRUSTLESS"
# In which the market says that everything was applied.
APPLIED_IN = 7


@dataclass(frozen=True)
class Chain:
    """An RPC server that says what a contract holds."""

    server: HorizonServer
    activities: ReadBackActivities

    def holds(self, order: OrderRecord, stroops: int, ledger: int = APPLIED_IN) -> None:
        key = base64.b64encode(balance_key(NETWORK, str(order.the_escrow.contract_id))).decode()
        result = {"entries": [{"key": key, "xdr": balance(stroops)}], "latestLedger": ledger}
        self.server.put("/rpc", Answer(200, {"jsonrpc": "2.0", "id": 1, "result": result}))

    async def observe(self, operation: OperationRecord) -> None:
        await ActivityEnvironment().run(self.activities.observe_excess, operation.id)

    async def withdraw(self, order: OrderRecord) -> None:
        await ActivityEnvironment().run(self.activities.withdraw_remaining, order.id)


@pytest.fixture
async def chain(market: Market) -> AsyncIterator[Chain]:
    async with HorizonServer().running() as server, httpx.AsyncClient() as client:
        rpc = ContractRpc(f"{server.url}/rpc", NETWORK, client)
        yield Chain(server, ReadBackActivities(market.database, rpc, NETWORK))


async def funded(market: Market, mode: ReleaseMode = ReleaseMode.SINGLE) -> OrderRecord:
    buyer, seller = await market.user(AMOUNT), await market.user()
    wish = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo", milestones=(MilestoneWish("all", "All", AMOUNT),), release_mode=mode)
    async with market.command() as transaction:
        order = await create_order(transaction, wish, Terms())
        await reserve_order(transaction, order.id)
        deployment = await request_escrow(transaction, order.id)
    await market.apply(await market.sign(deployment.operation.id, SIGNER))
    async with market.command() as transaction:
        await book_operation(transaction, deployment.operation.id)
    async with market.command() as transaction:
        funding = await request_funding(transaction, order.id)
    moved = Movement(str(buyer.public_key), str((await market.get(order)).the_escrow.contract_id), AMOUNT)
    await market.apply(await market.sign(funding.operation.id, moved.sender), moved)
    async with market.command() as transaction:
        await book_operation(transaction, funding.operation.id)
    return await market.get(order)


async def refunding(market: Market) -> tuple[OrderRecord, OperationRecord]:
    order = await funded(market)
    async with market.command() as transaction:
        accepted = await request_refund(transaction, order.id, "not wanted any more")
    return order, accepted.operation


async def paid_per_milestone(market: Market) -> OrderRecord:
    """Its only milestone is released, and so it is closed."""
    order = await funded(market, ReleaseMode.PER_MILESTONE)
    async with market.command() as transaction:
        standings = await users.standings(transaction, (order.buyer_id, order.seller_id))
        release = await request_milestone_release(transaction, order.id, "all")
    buyer, seller = (str(standings[one].public_key) for one in (order.buyer_id, order.seller_id))
    contract = str(order.the_escrow.contract_id)
    await market.apply(await market.sign(release.operation.id, seller))
    await market.apply(await market.sign(release.operation.id, buyer))
    moved = (Movement(contract, TW, FEE), Movement(contract, seller, AMOUNT - FEE))
    await market.apply(await market.sign(release.operation.id, buyer), *moved)
    async with market.command() as transaction:
        await book_operation(transaction, release.operation.id)
    closed = await market.get(order)
    assert closed.state is OrderState.CLOSED
    return closed


async def in_the_books(market: Market, order: OrderRecord) -> int:
    return await market.account(f"escrow:{order.the_escrow.id}")


async def test_what_a_stranger_paid_in_leaves_with_the_buyers_refund(market: Market, chain: Chain) -> None:
    order, refund = await refunding(market)
    chain.holds(order, AMOUNT + 5)
    for _ in range(2):
        await chain.observe(refund)
    assert await in_the_books(market, order) == AMOUNT + 5
    async with market.database.reading() as reader:
        resolution = (await escrow_step(reader, f"{refund.id}/resolve")).intent
    assert isinstance(resolution, ResolveEscrow)
    assert [amount for _, amount in resolution.shares] == [AMOUNT + 5]


async def test_nothing_is_taken_in_once_a_resolution_is_signed(market: Market, chain: Chain) -> None:
    """The signed shares are what they are; the contract judges whether they still sum to what it holds."""
    order, refund = await refunding(market)
    async with market.command() as transaction:
        buyer = (await users.standings(transaction, (order.buyer_id,)))[order.buyer_id].public_key
    await market.apply(await market.sign(refund.id, str(buyer)))
    async with market.command() as transaction:
        step = parse_intent_id((await begin_operation(transaction, refund.id)).steps[-1].intent_id)[1]
    await market.sign_step(refund.id, step, SIGNER)
    chain.holds(order, AMOUNT + 100)
    await chain.observe(refund)
    assert await in_the_books(market, order) == AMOUNT
    assert (await market.operation(refund.id)).subject.excess_stroops == 0


@pytest.mark.parametrize("stroops", [AMOUNT, AMOUNT - 1, 0])
async def test_a_contract_that_holds_no_more_than_the_books_changes_nothing(market: Market, chain: Chain, stroops: int) -> None:
    order, refund = await refunding(market)
    chain.holds(order, stroops)
    await chain.observe(refund)
    assert await in_the_books(market, order) == AMOUNT
    assert (await market.operation(refund.id)).subject.excess_stroops == 0


async def test_a_server_behind_our_own_last_transaction_is_not_believed(market: Market, chain: Chain) -> None:
    """It would still show what the release has paid out, as if somebody had given it."""
    order, refund = await refunding(market)
    chain.holds(order, AMOUNT + 5, APPLIED_IN - 1)
    with pytest.raises(HorizonUnavailable):
        await chain.observe(refund)
    closed = await paid_per_milestone(market)
    chain.holds(closed, AMOUNT, APPLIED_IN - 1)
    with pytest.raises(HorizonUnavailable):
        await chain.withdraw(closed)
    assert await in_the_books(market, closed) == 0


async def test_what_a_contract_holds_after_its_last_milestone_is_withdrawn_once(market: Market, chain: Chain) -> None:
    order = await paid_per_milestone(market)
    chain.holds(order, 0)
    await chain.withdraw(order)
    assert (await market.get(order)).operation is None
    chain.holds(order, 9)
    for _ in range(2):
        await chain.withdraw(order)
    accepted = (await market.get(order)).operation
    assert accepted is not None
    assert (accepted.kind, accepted.subject.excess_stroops) == (OperationKind.REMAINDER, 9)
    assert await in_the_books(market, order) == 9
    await market.planned(accepted.id)
    async with market.database.reading() as reader:
        intent = (await escrow_step(reader, f"{accepted.id}/withdraw_remaining")).intent
    assert isinstance(intent, WithdrawRemaining)
    assert [amount for _, amount in intent.shares] == [9]
