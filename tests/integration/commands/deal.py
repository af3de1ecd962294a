"""One order between two users, brought to any state; and a chain that agrees to everything, with an arithmetic of its own.

The chain's answers are attempts that end as the contract would end them; the fees are calculated here once more, from the reference.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text

from offerhub.commands.checkout import request_checkout
from offerhub.commands.dispute_facts import AcceptedDispute, DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.operations import book_operation, refuse_operation
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_release
from offerhub.commands.reserve import reserve_order
from offerhub.domain.messages import Movement, OrderView, Refusal
from offerhub.domain.plans import Action, Party, Step, Subject
from offerhub.domain.states import OrderState, ReleaseMode
from offerhub.storage import clock, orders
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import UserRecord
from tests.integration.commands.market import PLATFORM, SIGNER, Market

AMOUNT = 800_000_000
TRUSTLESS_WORK = "GTRUSTLESS"
NEVER = DisputeDeadlines()
_BALANCES = text("SELECT account, balance FROM account_balances WHERE balance <> 0")
_EVENTS = text("SELECT type, payload FROM events ORDER BY inserted")


@dataclass(frozen=True)
class Wish:
    """What is peculiar to a deal. With ``parts`` it is paid out per milestone; the milestones are called m0, m1 …"""

    amount: int = AMOUNT
    parts: tuple[int, ...] = ()
    milestones: int = 1
    fee_bps: int = 0
    make_buyer_whole: bool = False
    auto_release_after_s: int | None = None
    reservation_expires_after_s: int | None = None

    def order(self, buyer: UserRecord, seller: UserRecord) -> CreateOrder:
        amounts: tuple[int | None, ...] = self.parts or (None,) * self.milestones
        return CreateOrder(
            buyer.id,
            seller.id,
            sum(self.parts) or self.amount,
            "USDC",
            "A logo",
            milestones=tuple(MilestoneWish(f"m{position}", "a part", amount) for position, amount in enumerate(amounts)),
            release_mode=ReleaseMode.PER_MILESTONE if self.parts else ReleaseMode.SINGLE,
            auto_release_after_s=self.auto_release_after_s,
            reservation_expires_after_s=self.reservation_expires_after_s,
        )


@dataclass(frozen=True)
class Deal:
    market: Market
    buyer: UserRecord
    seller: UserRecord
    order_id: str

    @classmethod
    async def agreed(cls, market: Market, wish: Wish = Wish()) -> Deal:
        seller, buyer = await market.user(), await market.user(sum(wish.parts) or wish.amount)
        order = await market.agree(wish.order(buyer, seller), Terms(wish.fee_bps, wish.make_buyer_whole))
        return cls(market, buyer, seller, order.id)

    @classmethod
    async def funded(cls, market: Market, wish: Wish = Wish()) -> Deal:
        deal = await cls.agreed(market, wish)
        await deal.finish(await deal.do(request_checkout))
        return deal

    @classmethod
    async def in_state(cls, market: Market, state: OrderState, wish: Wish = Wish()) -> Deal:
        deal = await cls.agreed(market, wish)
        await deal._go_to(state)
        assert (await deal.order()).state is state
        return deal

    async def _go_to(self, state: OrderState) -> None:
        if state is OrderState.ORDER_CREATED:
            return
        await self.do(reserve_order)
        if state is OrderState.FUNDS_RESERVED:
            return
        if state is OrderState.ESCROW_CREATING:
            await self.do(request_escrow)
            return
        if state is OrderState.ESCROW_FUNDING:
            await self.finish(await self.do(request_escrow))
            return
        await self.finish(await self.do(request_checkout))
        if state is OrderState.RELEASE_REQUESTED:
            await self.do(request_release, None, None)
        if state is OrderState.REFUND_REQUESTED:
            await self.do(request_refund, "late")
        if state is OrderState.DISPUTED:
            await self.finish(await self.dispute())
        if state is OrderState.CLOSED:
            await self.finish(await self.do(request_release, None, None))

    async def order(self) -> OrderRecord:
        async with self.market.database.reading() as reader:
            found = await orders.get(reader, self.order_id)
        assert found is not None
        return found

    async def do(self, command: Callable[..., Awaitable[Any]], *arguments: object) -> Any:
        """A command on this order."""
        return await self.run(lambda transaction: command(transaction, self.order_id, *arguments))

    async def run(self, command: Callable[[Transaction], Awaitable[Any]]) -> Any:
        async with self.market.command() as transaction:
            return await command(transaction)

    async def dispute(self, by: Party = Party.BUYER, milestone: str | None = None, deadlines: DisputeDeadlines = NEVER) -> AcceptedDispute:
        wanted = OpenDispute(self.order_id, by, "QUALITY_ISSUE", "It is blue.", ("a picture",), milestone)
        accepted: AcceptedDispute = await self.run(lambda transaction: open_dispute(transaction, wanted, deadlines))
        return accepted

    async def finish(self, accepted: Any) -> OrderView | None:
        """Every step of the operation is applied, and booked."""
        view = None
        operation: OperationRecord = accepted.operation
        for step in await self.market.planned(operation.id):
            await self.apply(operation.id, step)
            if step.action is Action.DEPLOY or step == (await self.market.planned(operation.id) or (step,))[-1]:
                view = await self.book(operation.id)
        return view

    async def apply(self, operation_id: str, step: Step, *movements: Movement) -> None:
        order, subject = await self.order(), (await self.market.operation(operation_id)).subject
        attempt = await self.market.sign_step(operation_id, step, self._source(step.party))
        await self.market.apply(attempt, *(movements or self._movements(order, step, subject)))

    async def book(self, operation_id: str) -> OrderView:
        view: OrderView = await self.run(lambda transaction: book_operation(transaction, operation_id))
        return view

    @classmethod
    async def owing_fees(cls, market: Market) -> Deal:
        """A refund whose fees the platform could not pay back."""
        deal = await cls.funded(market, Wish(make_buyer_whole=True))
        await deal.finish(await deal.do(request_refund, "late"))
        await deal.refuse(await deal.order(), "STELLAR_NETWORK_ERROR")
        return deal

    async def refuse(self, accepted: Any, code: str = "ESCROW_REJECTED") -> OrderView | None:
        refusal = Refusal(accepted.operation.id, accepted.operation.kind, code, "the contract said no")
        view: OrderView | None = await self.run(lambda transaction: refuse_operation(transaction, refusal))
        return view

    async def books(self) -> dict[str, int]:
        """What the ledger holds, by its role in this deal."""
        order = await self.order()
        names = {
            f"user:{self.buyer.id}:available": "buyer",
            f"user:{self.buyer.id}:reserved": "reserved",
            f"user:{self.seller.id}:available": "seller",
            "platform:revenue": "platform",
            "protocol:fees": "protocol",
            f"escrow:{order.escrow.id if order.escrow else None}": "escrow",
        }
        async with self.market.database.reading() as reader:
            rows = await reader.rows(_BALANCES)
        return {names[row["account"]]: row["balance"] for row in rows if row["account"] in names}

    async def events(self, prefix: str = "") -> list[tuple[str, dict[str, Any]]]:
        async with self.market.database.reading() as reader:
            rows = await reader.rows(_EVENTS)
        return [(row["type"], row["payload"]) for row in rows if row["type"].startswith(prefix)]

    async def later(self, seconds: int) -> None:
        """The engine's clock is advanced, as a sandbox's is."""
        await self.run(lambda transaction: clock.set_ahead(transaction, seconds))

    def _source(self, party: Party) -> str:
        keys = {Party.BUYER: self.buyer.public_key, Party.SELLER: self.seller.public_key, Party.SIGNER: SIGNER, Party.PLATFORM: PLATFORM}
        return str(keys[party])

    def _movements(self, order: OrderRecord, step: Step, subject: Subject) -> tuple[Movement, ...]:
        contract = str(order.escrow.contract_id) if order.escrow else ""
        buyer, seller = str(self.buyer.public_key), str(self.seller.public_key)
        match step.action:
            case Action.FUND:
                return (Movement(buyer, contract, order.amount),)
            case Action.RELEASE:
                index = step.milestone_index
                gross = order.amount if index is None else order.milestones[index].amount
                return contract_pays(contract, order.platform_fee_bps, (seller, gross or 0))
            case Action.RESOLVE | Action.WITHDRAW_REMAINING:
                shares = ((seller, subject.seller_stroops), (buyer, subject.buyer_stroops + subject.excess_stroops))
                return contract_pays(contract, order.platform_fee_bps, *shares)
            case Action.COMPENSATE:
                return (Movement(PLATFORM, buyer, subject.buyer_stroops),)
        return ()


def contract_pays(contract: str, platform_bps: int, *shares: tuple[str, int]) -> tuple[Movement, ...]:
    """Each share less its own fees, each of them rounded down (``trustless-work.md`` §7)."""
    protocol = sum(gross * 30 // 10_000 for _, gross in shares)
    platform = sum(gross * platform_bps // 10_000 for _, gross in shares)
    paid = [(to, gross - gross * 30 // 10_000 - gross * platform_bps // 10_000) for to, gross in shares]
    moved = [(TRUSTLESS_WORK, protocol), (PLATFORM, platform), *paid]
    return tuple(Movement(contract, to, amount) for to, amount in moved if amount)
