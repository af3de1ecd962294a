"""Every verb that goes to the chain, brought to where only its own command is left to be given."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from offerhub.commands.checkout import request_checkout
from offerhub.commands.dispute_facts import AcceptedDispute, DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms, create_order
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision, ReleaseMode
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.chaos.installation import Installation
from tests.e2e.contracts import gift
from tests.e2e.rig import FEE_BPS

AMOUNT = 250_000_000
GIFT = 7_000_000

Command = Callable[[], Awaitable[Any]]
Begun = Callable[[Installation], Awaitable[Command]]


async def checkout(installation: Installation) -> Command:
    buyer, seller = await _parties(installation)
    wish = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo")
    order = await installation.commit(lambda t: create_order(t, wish, Terms(FEE_BPS)))
    return lambda: installation.commit(lambda t: request_checkout(t, order.id))


async def release(installation: Installation) -> Command:
    order = await _funded(installation)
    return lambda: installation.accept_release(order.id)


async def refund(installation: Installation) -> Command:
    """Of an order whose buyer gets the fees back, out of what the platform earned with the releases before."""
    buyer, seller = await _parties(installation)
    wish = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo")
    order = await installation.reserved(wish, Terms(FEE_BPS, make_buyer_whole=True))
    await installation.funded(order.id)
    return lambda: installation.commit(lambda t: request_refund(t, order.id, "late"))


async def last_milestone(installation: Installation) -> Command:
    """A stranger has paid in, so that something is left over."""
    buyer, seller = await _parties(installation)
    milestones = (MilestoneWish("all", "All of it", AMOUNT),)
    wish = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo", milestones=milestones, release_mode=ReleaseMode.PER_MILESTONE)
    order = await installation.reserved(wish)
    await installation.funded(order.id)
    await gift(installation, (await installation.read_order(order.id)).the_escrow.contract_id, GIFT)
    return lambda: installation.commit(lambda t: request_milestone_release(t, order.id, "all"))


async def dispute(installation: Installation) -> Command:
    """Nobody decides it, so that its deadline does."""
    order = await _funded(installation)
    return lambda: _open_dispute(installation, order, DisputeDeadlines(1, 2, Decision.FULL_REFUND))


async def resolution(installation: Installation) -> Command:
    opened = await _open_dispute(installation, await _funded(installation), DisputeDeadlines())
    await installation.succeeded(opened)
    wish = ResolveDispute(opened.dispute.id, Decision.FULL_RELEASE, "ben")
    return lambda: installation.commit(lambda t: resolve_dispute(t, wish))


async def withdrawal(installation: Installation) -> Command:
    user, payee = (await _parties(installation))[0], await installation.payee()
    return lambda: installation.accept_withdrawal(user, payee, AMOUNT)


# The workflow that is under attack, and the way to it.
VERBS: tuple[tuple[str, Begun], ...] = (
    ("EscrowFunding", checkout),
    ("Release", release),
    ("Refund", refund),
    ("Compensation", refund),
    ("Milestone", last_milestone),
    ("Remainder", last_milestone),
    ("Dispute", dispute),
    ("Dispute", resolution),
    ("Withdrawal", withdrawal),
)


async def _open_dispute(installation: Installation, order: OrderRecord, deadlines: DisputeDeadlines) -> AcceptedDispute:
    return await installation.commit(lambda t: open_dispute(t, OpenDispute(order.id, Party.SELLER, "QUALITY"), deadlines))


async def _funded(installation: Installation) -> OrderRecord:
    buyer, seller = await _parties(installation)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(order.id)
    return order


async def _parties(installation: Installation) -> tuple[UserRecord, UserRecord]:
    """The buyer has the price of one order."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    return buyer, seller
