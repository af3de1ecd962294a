"""Random lives of a marketplace against the real database: whatever happens in whatever order, the books stay sound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule, run_state_machine_as_test

from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.commands.operations import book_operation, refuse_operation
from offerhub.commands.release import request_release
from offerhub.commands.reserve import cancel_order, reserve_order
from offerhub.commands.withdrawals import AcceptedWithdrawal, RequestWithdrawal, book_withdrawal, refuse_withdrawal, request_withdrawal
from offerhub.domain.errors import DomainError
from offerhub.domain.fees import split_release
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.states import AttemptState
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Database
from offerhub.storage.users import UserRecord
from tests.integration.commands.market import OUTSIDE, PLATFORM, SIGNER, Market

T = TypeVar("T")
AMOUNTS = st.integers(min_value=1, max_value=3_000_000_000)


@dataclass
class Chain:
    """What a chain would hold: the other side of the books. Keys are strkeys."""

    holds: dict[str, int] = field(default_factory=dict)

    def move(self, movement: Movement) -> None:
        self.holds[movement.sender] = self.holds.get(movement.sender, 0) - movement.amount_stroops
        self.holds[movement.recipient] = self.holds.get(movement.recipient, 0) + movement.amount_stroops


class MarketLife(RuleBasedStateMachine):
    url: str
    people = Bundle("people")
    orders = Bundle("orders")
    withdrawals = Bundle("withdrawals")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.market = Market(Database(self.url, pool_size=2))
        self.chain = Chain()
        self.users: list[UserRecord] = []

    def teardown(self) -> None:
        self.do(self.market.database.close)
        self.loop.close()

    def do(self, work: Callable[..., Awaitable[T]], *arguments: object, **options: object) -> T:
        async def call() -> T:
            return await work(*arguments, **options)

        return self.loop.run_until_complete(call())

    @initialize(target=people)
    def open(self) -> object:
        self.do(self._clear)
        self.do(self.market.open, 3)
        self.users = [self.do(self.market.user) for _ in range(3)]
        return multiple(*self.users)

    async def _clear(self) -> None:
        async with self.market.database.engine.begin() as connection:
            await connection.exec_driver_sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        await asyncio.to_thread(_migrate, self.url)
        await self.market.database.engine.dispose()

    @rule(user=people, amount=AMOUNTS)
    def deposit(self, user: UserRecord, amount: int) -> None:
        self.do(self.market.deposit, user, amount)
        self.chain.move(Movement("outside", str(user.public_key), amount))

    @rule(target=orders, buyer=people, seller=people, amount=AMOUNTS, fee_bps=st.sampled_from([0, 1, 250, 9_900]))
    def create(self, buyer: UserRecord, seller: UserRecord, amount: int, fee_bps: int) -> object:
        if buyer.id == seller.id:
            return multiple()
        return self.do(self.market.order, buyer, seller, amount, fee_bps)

    @rule(order=orders)
    def reserve(self, order: OrderRecord) -> None:
        self.do(self._try, reserve_order, order.id)

    @rule(order=orders)
    def cancel(self, order: OrderRecord) -> None:
        self.do(self._try, cancel_order, order.id, None, None)

    @rule(order=orders, refused=st.booleans())
    def escrow(self, order: OrderRecord, *, refused: bool) -> None:
        self.do(self._carry_out, request_escrow, order, refused=refused)

    @rule(order=orders, refused=st.booleans())
    def fund(self, order: OrderRecord, *, refused: bool) -> None:
        self.do(self._carry_out, request_funding, order, refused=refused)

    @rule(order=orders, refused=st.booleans())
    def release(self, order: OrderRecord, *, refused: bool) -> None:
        self.do(self._carry_out, _release, order, refused=refused)

    @rule(target=withdrawals, user=people, amount=AMOUNTS)
    def withdraw(self, user: UserRecord, amount: int) -> object:
        accepted = self.do(self._try, request_withdrawal, RequestWithdrawal(user.id, amount), OUTSIDE, 1)
        return multiple() if accepted is None else accepted

    @rule(withdrawal=consumes(withdrawals), dead=st.integers(0, 2), refused=st.booleans())
    def pay_out(self, withdrawal: AcceptedWithdrawal, dead: int, *, refused: bool) -> None:
        """Some envelopes die unapplied, then one is applied or refused by the ledger."""
        self.do(self._pay_out, withdrawal, dead, refused=refused)

    @rule(order=orders)
    def whole_life(self, order: OrderRecord) -> None:
        """Random choice alone rarely walks one order to its end."""
        buyer = next(user for user in self.users if user.id == order.buyer_id)
        self.deposit(buyer, order.amount)
        self.reserve(order)
        for request in (request_escrow, request_funding, _release):
            self.do(self._carry_out, request, order, refused=False)

    @rule(order=consumes(orders))
    def forget(self, order: OrderRecord) -> None:
        """Some orders are never touched again."""

    async def _try(self, command: Callable[..., Awaitable[T]], *arguments: object) -> T | None:
        try:
            async with self.market.command() as transaction:
                return await command(transaction, *arguments)
        except DomainError:
            return None

    async def _pay_out(self, accepted: AcceptedWithdrawal, dead: int, *, refused: bool) -> None:
        withdrawal, operation_id = accepted.withdrawal, accepted.operation.id
        wallet = str(next(u for u in self.users if u.id == withdrawal.user_id).public_key)
        for _ in range(dead):
            attempt = await self.market.sign_withdrawal(operation_id, wallet)
            await self._refuse_withdrawal(operation_id)
            await self.market.settle(attempt, AttemptState.DEAD)
        attempt = await self.market.sign_withdrawal(operation_id, wallet)
        await self._refuse_withdrawal(operation_id)
        if refused:
            await self.market.settle(attempt, AttemptState.REJECTED)
            await self._refuse_withdrawal(operation_id)
        else:
            movement = Movement(wallet, withdrawal.destination, withdrawal.amount)
            self.chain.move(movement)
            await self.market.apply(attempt, movement)
            await self._refuse_withdrawal(operation_id)
        for _ in range(2):
            async with self.market.command() as transaction:
                view = await book_withdrawal(transaction, operation_id)
            assert view.state == ("WITHDRAWAL_FAILED" if refused else "WITHDRAWAL_COMPLETED")

    async def _refuse_withdrawal(self, operation_id: str) -> None:
        """Whoever gives up too early changes nothing."""
        async with self.market.command() as transaction:
            await refuse_withdrawal(transaction, Refusal(operation_id, "withdrawal", "WITHDRAWAL_DESTINATION_INVALID", "no"))

    async def _carry_out(self, request: Callable[..., Awaitable[object]], order: OrderRecord, *, refused: bool) -> None:
        accepted = await self._try(request, order.id)
        operation = getattr(accepted, "operation", None)
        if operation is None or operation.status == "SUCCEEDED":
            return
        if refused:
            async with self.market.command() as transaction:
                await refuse_operation(transaction, Refusal(operation.id, operation.kind, "ESCROW_REJECTED", "no"))
            return
        while await self._apply_next_step(operation.id, order):
            pass
        for _ in range(2):
            async with self.market.command() as transaction:
                await book_operation(transaction, operation.id)

    async def _apply_next_step(self, operation_id: str, order: OrderRecord) -> bool:
        """Apply one step as the chain would; False after the last one."""
        buyer, seller = (next(u for u in self.users if u.id == user_id) for user_id in (order.buyer_id, order.seller_id))
        sources = {"signer": SIGNER, "buyer": str(buyer.public_key), "seller": str(seller.public_key)}
        now = await self.market.get(order)
        steps = await self.market.planned(operation_id)
        attempt = await self.market.sign(operation_id, sources[steps[0].party])
        contract = str(now.the_escrow.contract_id)
        movements: list[Movement] = []
        if steps[0].action == "fund":
            movements = [Movement(sources["buyer"], contract, order.amount)]
        elif steps[0].action == "release":
            split = split_release(order.amount, order.platform_fee_bps)
            fees = (("TW", split.protocol_fee_stroops), (PLATFORM, split.platform_fee_stroops))
            parts = (*fees, (sources["seller"], split.receiver_stroops))
            movements = [Movement(contract, recipient, amount) for recipient, amount in parts if amount]
        for movement in movements:
            self.chain.move(movement)
        await self.market.apply(attempt, *movements)
        return len(steps) > 1

    @invariant()
    def cached_balances_are_the_sums_of_their_entries(self) -> None:
        if self.users:
            self.do(self.market.assert_books_balance)

    @invariant()
    def the_books_equal_the_chain(self) -> None:
        for user in self.users:
            balance = self.do(self.market.books_of, user)
            assert balance.in_wallet == self.chain.holds.get(str(user.public_key), 0)
            assert min(balance.available, balance.reserved, balance.in_transit) >= 0
        if self.users:
            assert self.do(self.market.account, "platform:revenue") == self.chain.holds.get(PLATFORM, 0)
            assert self.do(self.market.account, "protocol:fees") == self.chain.holds.get("TW", 0)
            assert self.do(self.market.account, "world:stellar") == self.chain.holds.get("outside", 0) + self.chain.holds.get(
                OUTSIDE.address, 0
            )
            assert self.do(self.market.escrows_in_the_books) == self.do(self._escrows_on_chain)

    async def _escrows_on_chain(self) -> dict[str, int]:
        return {contract: held for contract, held in self.chain.holds.items() if contract.startswith("C")}


async def _release(transaction: object, order_id: str) -> object:
    return await request_release(transaction, order_id, None, None)  # type: ignore[arg-type]  # called with the machine's transaction


def _migrate(url: str) -> None:
    from migrations.__main__ import upgrade

    upgrade(url)


@pytest.mark.timeout(900)
def test_random_lives_keep_the_books_equal_to_the_chain(postgres_url: str) -> None:
    machine = type("MarketLifeOnThisDatabase", (MarketLife,), {"url": postgres_url})
    run_state_machine_as_test(
        machine,
        settings=settings(max_examples=12, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)),
    )
