"""The ways through the verbs beside the straight one: refund, checkout, dispute, payment by milestone, and what happens by itself."""

from __future__ import annotations

from offerhub.commands.checkout import abandon_escrow, request_checkout
from offerhub.commands.dispute_facts import AcceptedDispute, DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.milestones import request_completion
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms, create_order
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain import ledger
from offerhub.domain.plans import OperationKind, Party
from offerhub.domain.states import Decision, ReleaseMode
from offerhub.storage import operations
from offerhub.storage.users import UserRecord
from tests.chaos.installation import Installation, together
from tests.e2e.contracts import gift
from tests.e2e.rig import FEE_BPS

AMOUNT = 250_000_000
GIFT = 7_000_000
# Long enough to ask for the escrow in time.
EXPIRES_AFTER_S = 5
SPLIT = {"decision": "SPLIT", "releaseAmount": "10.00", "refundAmount": "15.00", "by": "ana"}
MILESTONES = (
    MilestoneWish("draft", "Draft", 100_000_000),
    MilestoneWish("proof", "Proof", 80_000_000),
    MilestoneWish("final", "Final", 70_000_000),
)


async def every_verb(installation: Installation) -> None:
    ways = (refund, never_funded, decided_by_signal, decided_by_command, decided_by_itself, milestones)
    await together(way(installation) for way in ways)


async def refund(installation: Installation) -> None:
    """With a promise to make the buyer whole, out of what the platform earned with the order before."""
    buyer, seller = await _parties(installation)
    earning = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(earning.id)
    await installation.succeeded(await installation.accept_release(earning.id))
    await installation.deposit(buyer, AMOUNT)
    order = await installation.reserved(CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo"), Terms(FEE_BPS, make_buyer_whole=True))
    await installation.funded(order.id)
    await installation.succeeded(await installation.commit(lambda t: request_refund(t, order.id, "late")))
    await installation.closed(order.id, "REFUNDED")

    async def compensated() -> bool:
        async with installation.database.reading() as reader:
            found = await operations.last(reader, order.id, OperationKind.COMPENSATION)
        return found is not None and found.status == "SUCCEEDED"

    await installation.until(compensated)
    assert await installation.balance(ledger.available(buyer.id)) == AMOUNT


async def never_funded(installation: Installation) -> None:
    """One escrow is abandoned; the reservation of another order expires before anybody pays in. Both cost nothing."""
    buyer, seller = await _parties(installation)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.succeeded(await installation.accept_escrow(order.id))
    await installation.commit(lambda t: abandon_escrow(t, order.id, None))
    await installation.closed(order.id, "CANCELED")
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo", reservation_expires_after_s=EXPIRES_AFTER_S)
    expiring = await installation.reserved(request)
    await installation.succeeded(await installation.accept_escrow(expiring.id))
    await installation.closed(expiring.id, "EXPIRED")
    assert await installation.balance(ledger.available(buyer.id)) == AMOUNT


async def decided_by_signal(installation: Installation) -> None:
    """Bought in one go, disputed by the seller, split by signal; a stranger's gift goes to the buyer."""
    buyer, seller = await _parties(installation)
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo")
    order = await installation.commit(lambda t: create_order(t, request, Terms(FEE_BPS)))
    await installation.succeeded(await installation.commit(lambda t: request_checkout(t, order.id)))
    await gift(installation, (await installation.read_order(order.id)).the_escrow.contract_id, GIFT)
    opened = await _dispute(installation, OpenDispute(order.id, Party.SELLER, "QUALITY"))
    await (await installation.temporal()).get_workflow_handle(f"dispute/{opened.dispute.id}").signal("decide", SPLIT)
    await installation.closed(order.id, "SPLIT")


async def decided_by_command(installation: Installation) -> None:
    buyer, seller = await _parties(installation)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(order.id)
    opened = await _dispute(installation, OpenDispute(order.id, Party.BUYER, "QUALITY"))
    wanted = ResolveDispute(opened.dispute.id, Decision.FULL_RELEASE, "ben")
    await installation.succeeded(await installation.commit(lambda t: resolve_dispute(t, wanted)))
    await installation.closed(order.id, "RELEASED")


async def decided_by_itself(installation: Installation) -> None:
    """One order's delivery is paid when nobody objects in time, another's dispute ends by default."""
    buyer, seller = await _parties(installation)
    request = CreateOrder(
        buyer.id, seller.id, AMOUNT, "USDC", "Logo", milestones=(MilestoneWish("m", "All of it"),), auto_release_after_s=1
    )
    delivered = await installation.reserved(request)
    await installation.funded(delivered.id)
    await installation.succeeded(await installation.commit(lambda t: request_completion(t, delivered.id, "m", "https://files.example/1")))
    await installation.closed(delivered.id, "RELEASED")
    await installation.deposit(buyer, AMOUNT)
    disputed = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(disputed.id)
    await _dispute(installation, OpenDispute(disputed.id, Party.BUYER, "QUALITY"), DisputeDeadlines(1, 2, Decision.FULL_REFUND))
    await installation.closed(disputed.id, "REFUNDED")


async def milestones(installation: Installation) -> None:
    """Three, each ending its own way; what a stranger paid in is left over and goes to the buyer."""
    buyer, seller = await _parties(installation)
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo", milestones=MILESTONES, release_mode=ReleaseMode.PER_MILESTONE)
    order = await installation.reserved(request)
    await installation.funded(order.id)
    await gift(installation, (await installation.read_order(order.id)).the_escrow.contract_id, GIFT)
    await installation.succeeded(await installation.commit(lambda t: request_completion(t, order.id, "draft", None)))
    await installation.succeeded(await installation.commit(lambda t: request_milestone_release(t, order.id, "draft")))
    await installation.succeeded(await installation.commit(lambda t: request_refund(t, order.id, "late", "proof")))
    opened = await _dispute(installation, OpenDispute(order.id, Party.SELLER, "QUALITY", milestone_ref="final"))
    wanted = ResolveDispute(opened.dispute.id, Decision.SPLIT, "ben", release_stroops=30_000_000, refund_stroops=40_000_000)
    await installation.succeeded(await installation.commit(lambda t: resolve_dispute(t, wanted)))

    async def left_nothing() -> bool:
        async with installation.database.reading() as reader:
            found = await operations.last(reader, order.id, OperationKind.REMAINDER)
        return found is not None and found.status == "SUCCEEDED"

    await installation.until(left_nothing)
    assert await installation.in_contract((await installation.read_order(order.id)).the_escrow.contract_id) == 0


async def _parties(installation: Installation) -> tuple[UserRecord, UserRecord]:
    """The buyer has the price of one order."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    return buyer, seller


async def _dispute(installation: Installation, wanted: OpenDispute, deadlines: DisputeDeadlines = DisputeDeadlines()) -> AcceptedDispute:  # noqa: B008 - frozen
    """Opened, and the contract frozen."""
    opened = await installation.commit(lambda t: open_dispute(t, wanted, deadlines))
    await installation.succeeded(opened)
    return opened
