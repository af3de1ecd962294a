"""An order paid out per milestone, on a multi-release contract: each milestone ends in its own way, strangers' money goes to the buyer."""

from __future__ import annotations

from functools import partial

import httpx
import pytest

from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.milestones import request_completion
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release
from offerhub.commands.remainder import tell_not_emptied
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain import ledger
from offerhub.domain.plans import OperationKind, Party
from offerhub.domain.states import Decision, ReleaseMode
from offerhub.storage import operations
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.e2e.contracts import assert_paid, gift, shares, together, trade
from tests.e2e.rig import FEE_BPS, Rig

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

FIRST, SECOND, THIRD = 300_000_111, 400_000_222, 100_000_000
AMOUNT = FIRST + SECOND


async def test_one_milestone_released_the_other_disputed_and_split(rig: Rig) -> None:
    parties, order = await _funded(rig, (FIRST, SECOND))
    escrow_id = order.the_escrow.id
    completed = await rig.commit(lambda t: request_completion(t, order.id, "m1", "https://files.example/logo.svg"))
    assert completed.operation.workflow_id == f"milestone/{order.milestones[0].id}"
    await rig.succeeded(completed)
    assert (await rig.read_order(order.id)).milestones[0].state == "COMPLETED"

    await rig.succeeded(await rig.commit(lambda t: request_milestone_release(t, order.id, "m1")))
    partly = await rig.read_order(order.id)
    assert (partly.state, [one.state for one in partly.milestones]) == ("IN_PROGRESS", ["RELEASED", "OPEN"])
    assert await rig.balance(ledger.in_escrow(escrow_id)) == SECOND == await rig.in_contract(partly.the_escrow.contract_id)
    await rig.assert_books_equal_chain(*parties)

    about = OpenDispute(order.id, Party.SELLER, "QUALITY", milestone_ref="m2")
    opened = await rig.commit(lambda t: open_dispute(t, about, DisputeDeadlines()))
    await rig.succeeded(opened)
    assert (await rig.read_order(order.id)).milestones[1].state == "DISPUTED"
    to_seller = 150_000_001
    wanted = ResolveDispute(opened.dispute.id, Decision.SPLIT, "ana", to_seller, SECOND - to_seller)
    await rig.succeeded(await rig.commit(lambda t: resolve_dispute(t, wanted)))
    closed = await rig.closed(order.id, "SPLIT")
    assert [one.state for one in closed.milestones] == ["RELEASED", "SPLIT"]
    await assert_paid(rig, closed, parties, together(shares(FIRST, 0), shares(to_seller, SECOND - to_seller)))
    client = await rig.temporal()
    assert await client.get_workflow_handle(f"dispute/{opened.dispute.id}").result() == "RESOLVED"
    assert await client.get_workflow_handle(f"order/{order.id}").result() == "SPLIT"
    # The contract was looked into once more; it held nothing.
    assert await rig.has_scheduled(f"order/{order.id}", "withdraw_remaining")
    assert await _last(rig, order.id, OperationKind.REMAINDER) is None


async def test_what_strangers_paid_in_goes_to_the_buyer_after_the_last_milestone(rig: Rig) -> None:
    parties, order = await _funded(rig, (FIRST, SECOND))
    extra = 9_000_001
    await gift(rig, order.the_escrow.contract_id, extra)
    await rig.succeeded(await rig.commit(lambda t: request_refund(t, order.id, "late", "m2")))
    await rig.succeeded(await rig.commit(lambda t: request_milestone_release(t, order.id, "m1")))

    await rig.until(lambda: _has_remainder(rig, order.id, "SUCCEEDED"))
    closed = await rig.closed(order.id, "SPLIT")
    remainder = await _last(rig, order.id, OperationKind.REMAINDER)
    assert remainder is not None
    assert remainder.workflow_id == f"remainder/{closed.id}"
    await assert_paid(rig, closed, parties, together(shares(FIRST, SECOND), shares(0, extra)))


async def test_a_remainder_that_was_refused_is_paid_once_its_cause_is_gone(rig: Rig) -> None:
    """The buyer could not be paid; whoever keeps house tells the order's workflow again, though the order has long ended."""
    (buyer, seller), order = await _funded(rig, (FIRST,))
    extra = 9_000_001
    await gift(rig, order.the_escrow.contract_id, extra)
    async with httpx.AsyncClient(base_url=f"{rig.sandbox.url}/control", timeout=60) as control:
        frozen = {"kind": "freeze_trustline", "account": buyer.public_key}
        fault = (await control.post("/faults", json=frozen)).raise_for_status().json()
        await rig.succeeded(await rig.commit(lambda t: request_milestone_release(t, order.id, "m1")))
        await rig.until(lambda: _has_remainder(rig, order.id, "FAILED"))
        (await control.delete(f"/faults/{fault['id']}")).raise_for_status()
    await rig.closed(order.id, "RELEASED")
    assert await (await rig.temporal()).get_workflow_handle(f"order/{order.id}").result() == "RELEASED"
    assert await rig.commit(lambda t: tell_not_emptied(t, t.now)) >= 1
    await rig.until(lambda: _has_remainder(rig, order.id, "SUCCEEDED"))
    assert await rig.in_contract(order.the_escrow.contract_id) == 0
    assert await rig.balance(ledger.available(buyer.id)) == shares(0, extra).buyer_stroops
    assert len(await rig.events_of("escrow.excess_found", order.the_escrow.id)) == 1, "it was in the books already"
    await rig.assert_books_equal_chain(buyer, seller)


async def test_refunds_of_all_milestones_with_a_promise_to_make_the_buyer_whole(rig: Rig) -> None:
    """Each refund is compensated; the last compensation and the remainder are for an order that is closed."""
    earning, sold = await _funded(rig, (AMOUNT,))
    await rig.succeeded(await rig.commit(lambda t: request_milestone_release(t, sold.id, "m1")))
    assert earning
    (buyer, seller), order = await _funded(rig, (THIRD, THIRD), make_buyer_whole=True)
    await gift(rig, order.the_escrow.contract_id, 10_000)
    for ref in ("m1", "m2"):
        await rig.succeeded(await rig.commit(partial(request_refund, order_id=order.id, reason="late", milestone_ref=ref)))
        await rig.until(lambda: _is_idle(rig, order.id))

    await rig.until(lambda: _has_remainder(rig, order.id, "SUCCEEDED"))
    closed = await rig.closed(order.id, "REFUNDED")
    assert await rig.in_contract(closed.the_escrow.contract_id) == 0
    whole = 2 * THIRD + shares(0, 10_000).buyer_stroops
    assert await rig.balance(ledger.available(buyer.id)) == whole == await rig.on_chain(str(buyer.public_key))
    await rig.assert_books_equal_chain(buyer, seller)


Parties = tuple[UserRecord, UserRecord]


async def _funded(rig: Rig, amounts: tuple[int, ...], *, make_buyer_whole: bool = False) -> tuple[Parties, OrderRecord]:
    parties = buyer, seller = await trade(rig, sum(amounts))
    wishes = tuple(MilestoneWish(f"m{number}", f"Milestone {number}", amount) for number, amount in enumerate(amounts, start=1))
    mode = ReleaseMode.PER_MILESTONE
    request = CreateOrder(buyer.id, seller.id, sum(amounts), "USDC", "A web site", milestones=wishes, release_mode=mode)
    order = await rig.reserved(request, Terms(FEE_BPS, make_buyer_whole))
    await rig.funded(order.id)
    return parties, await rig.read_order(order.id)


async def _is_idle(rig: Rig, order_id: str) -> bool:
    return (await rig.read_order(order_id)).operation is None


async def _last(rig: Rig, order_id: str, kind: OperationKind) -> operations.OperationRecord | None:
    async with rig.database.reading() as reader:
        return await operations.last(reader, order_id, kind)


async def _has_remainder(rig: Rig, order_id: str, status: str) -> bool:
    operation = await _last(rig, order_id, OperationKind.REMAINDER)
    return operation is not None and operation.status == status
