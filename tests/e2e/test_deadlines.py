"""What happens by itself, on the real parts: the sandbox's clock is advanced, or the worker is dead when it is time."""

from __future__ import annotations

import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import text

from activities.engine_clock import ALL_AGAIN_S
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.milestones import extend_release, request_completion
from offerhub.commands.orders import CreateOrder, MilestoneWish
from offerhub.domain import ledger
from offerhub.domain.plans import OperationKind, Party
from offerhub.domain.states import Decision, ReleaseMode
from offerhub.storage import disputes, operations
from offerhub.storage.clock import WATCHING_LOCK
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.e2e.contracts import assert_paid, shares, together, trade
from tests.e2e.rig import Rig
from tests.services import PostgresServer, TestServices, start_sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

AMOUNT = 800_000_333
A_DAY = 86_400
REFUSE = {"kind": "refuse_transaction", "code": "function_trapped", "next": 1}
_DELIVERED_AT_ONCE = text(
    "UPDATE milestones SET completed_at = (SELECT min(completed_at) FROM milestones WHERE order_id = :order_id) WHERE order_id = :order_id"
)
Parties = tuple[UserRecord, UserRecord]


async def test_the_seller_is_paid_when_the_time_for_objections_has_passed(rig: Rig) -> None:
    parties, order = await _delivered(rig, auto_release_after_s=3 * A_DAY)
    assert order.auto_release_at is not None
    state = await rig.until(lambda: _shown(rig, f"order/{order.id}", "the seller is paid"))
    assert state["deadline_unix"] == int(order.auto_release_at.timestamp())
    await rig.advance_clock(2 * A_DAY)
    assert (await rig.read_order(order.id)).state == "IN_PROGRESS"
    advanced = time.monotonic()
    await rig.advance_clock(A_DAY)
    await rig.until(lambda: _asked_for(rig, order.id, OperationKind.RELEASE))
    # A look at the ledger and one at the deadlines, each once a second; not the next time that everything is told again.
    assert time.monotonic() - advanced < ALL_AGAIN_S / 2
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))


async def test_an_extension_puts_the_release_off(rig: Rig) -> None:
    parties, order = await _delivered(rig, auto_release_after_s=A_DAY)
    await rig.commit(lambda t: extend_release(t, order.id, timedelta(days=5), "buyer"))
    await rig.advance_clock(3 * A_DAY)
    await rig.until(lambda: _shown(rig, f"order/{order.id}", "the seller is paid"))
    assert (await rig.read_order(order.id)).state == "IN_PROGRESS"
    await rig.advance_clock(3 * A_DAY)
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))


async def test_parts_are_paid_by_themselves_one_after_the_other(rig: Rig) -> None:
    """The second part is due while the first is being paid, in the same second even: it waits for its turn, and for nothing else."""
    parties = buyer, seller = await trade(rig, AMOUNT)
    first = 300_000_111
    wishes = (MilestoneWish("m1", "Draft", first), MilestoneWish("m2", "Final", AMOUNT - first))
    order = await rig.reserved(
        CreateOrder(
            *(buyer.id, seller.id, AMOUNT, "USDC", "Logo design"),
            milestones=wishes,
            release_mode=ReleaseMode.PER_MILESTONE,
            auto_release_after_s=A_DAY,
        )
    )
    await rig.funded(order.id)
    for ref in ("m1", "m2"):
        await rig.succeeded(await rig.commit(partial(request_completion, order_id=order.id, ref=ref, evidence=None)))
    await rig.commit(lambda transaction: transaction.run(_DELIVERED_AT_ONCE, order_id=order.id))
    await rig.advance_clock(A_DAY + 60)
    closed = await rig.closed(order.id, "RELEASED")
    await assert_paid(rig, closed, parties, together(shares(first, 0), shares(AMOUNT - first, 0)))


async def test_a_release_by_itself_that_is_refused_is_tried_again_an_hour_later(rig: Rig) -> None:
    parties, order = await _delivered(rig, auto_release_after_s=A_DAY)
    await rig.control("faults", {**REFUSE, "account": parties[0].public_key})
    await rig.advance_clock(A_DAY + 60)
    refused = await rig.until(lambda: _failed(rig, order.id, OperationKind.RELEASE))
    put_off = await rig.read_order(order.id)
    assert (put_off.state, put_off.the_escrow.state) == ("IN_PROGRESS", "FUNDED")
    assert put_off.auto_release_at is not None
    assert order.auto_release_at is not None
    assert put_off.auto_release_at > order.auto_release_at + timedelta(minutes=59)
    assert len(await rig.events_of("order.release_scheduled", order.id)) == 2
    await rig.advance_clock(3_660)
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))
    async with rig.database.reading() as reader:
        again = await operations.last(reader, order.id, OperationKind.RELEASE)
    assert again is not None
    assert again.id != refused.id


@pytest.mark.parametrize("with_escrow", [False, True])
async def test_a_reservation_expires(rig: Rig, with_escrow: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """Before the escrow exists, and with an escrow that was never funded."""
    buyer, seller = await trade(rig, AMOUNT)
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo design", reservation_expires_after_s=A_DAY)
    order = await rig.reserved(request)
    if with_escrow:
        await rig.succeeded(await rig.accept_escrow(order.id))
    await rig.advance_clock(A_DAY + 60)
    closed = await rig.closed(order.id, "EXPIRED")
    assert await rig.balance(ledger.reserved(buyer.id)) == 0
    assert await rig.balance(ledger.available(buyer.id)) == AMOUNT == await rig.on_chain(str(buyer.public_key))
    assert (closed.escrow is not None) == with_escrow
    if with_escrow:
        assert closed.the_escrow.state == "ABANDONED"
    assert await (await rig.temporal()).get_workflow_handle(f"order/{order.id}").result() == "EXPIRED"


async def test_an_undecided_dispute_is_escalated_and_then_decided_by_default(rig: Rig) -> None:
    parties, order = await _funded(rig)
    deadlines = DisputeDeadlines(3 * A_DAY, 14 * A_DAY, Decision.FULL_REFUND)
    opened = await rig.commit(lambda t: open_dispute(t, OpenDispute(order.id, Party.BUYER, "QUALITY"), deadlines))
    await rig.succeeded(opened)
    workflow_id = f"dispute/{opened.dispute.id}"
    await rig.until(lambda: _shown(rig, workflow_id, "it is escalated"))
    await rig.advance_clock(3 * A_DAY + 60)
    await rig.until(lambda: _shown(rig, workflow_id, "FULL_REFUND by default"))
    assert len(await rig.events_of("dispute.escalated", opened.dispute.id)) == 1
    assert (await rig.read_order(order.id)).state == "DISPUTED"
    await rig.advance_clock(11 * A_DAY)
    await assert_paid(rig, await rig.closed(order.id, "REFUNDED"), parties, shares(0, AMOUNT))
    async with rig.database.reading() as reader:
        decided = await disputes.get(reader, opened.dispute.id)
    assert decided is not None
    assert (decided.state, decided.resolved_by) == ("RESOLVED", "deadline")
    assert await (await rig.temporal()).get_workflow_handle(workflow_id).result() == "RESOLVED"


async def test_a_decision_by_default_that_is_refused_is_tried_again_an_hour_later(rig: Rig) -> None:
    parties, order = await _funded(rig)
    deadlines = DisputeDeadlines(None, A_DAY, Decision.FULL_RELEASE)
    opened = await rig.commit(lambda t: open_dispute(t, OpenDispute(order.id, Party.BUYER, "QUALITY"), deadlines))
    await rig.succeeded(opened)
    await rig.control("faults", {**REFUSE, "account": (await rig.read_order(order.id)).the_escrow.signer})
    await rig.advance_clock(A_DAY + 60)
    await rig.until(lambda: _failed(rig, order.id, OperationKind.DISPUTE_RESOLUTION))
    async with rig.database.reading() as reader:
        undecided = await disputes.get(reader, opened.dispute.id)
    assert undecided is not None
    assert (undecided.state, undecided.decision) == ("UNDER_REVIEW", None)
    await rig.advance_clock(3_660)
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))


async def test_a_deadline_that_passes_while_everything_is_dead_is_only_late(rig: Rig) -> None:
    """Killed with a timer running, told nothing; started again, what was due is done."""
    parties, order = await _delivered(rig, auto_release_after_s=A_DAY)
    await rig.until(lambda: _shown(rig, f"order/{order.id}", "the seller is paid"))
    rig.kill_worker()
    await rig.control("clock/advance", {"seconds": A_DAY + 60})
    assert (await rig.read_order(order.id)).state == "IN_PROGRESS"
    await rig.start_worker(wait_for_wallets=0)
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))
    async with rig.database.reading() as reader:
        release = await operations.last(reader, order.id, OperationKind.RELEASE)
    assert release is not None
    assert [attempt.state for attempt in await rig.attempts_of(release.id)] == ["CONFIRMED"] * 2


async def test_the_workflows_own_timer_is_enough(
    services: TestServices,
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_server: str,
    temporal_address: str,
    tmp_path: Path,
) -> None:
    """With nobody looking for passed deadlines, on a network whose clock is ours."""
    with postgres_server.database(migrated_template) as url, psycopg.connect(url, autocommit=True) as session:
        session.execute("SELECT pg_advisory_lock(%s)", (WATCHING_LOCK,))
        rig = Rig(url, redis_server, temporal_address, start_sandbox(services), tmp_path)
        try:
            await rig.start_worker()
            parties, order = await _delivered(rig, auto_release_after_s=2)
            await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))
            assert "until the seller is paid" in await rig.activity_summaries(f"order/{order.id}")
        finally:
            await rig.close()


async def _funded(rig: Rig, auto_release_after_s: int | None = None) -> tuple[Parties, OrderRecord]:
    parties = buyer, seller = await trade(rig, AMOUNT)
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo design", auto_release_after_s=auto_release_after_s)
    order = await rig.reserved(request)
    await rig.funded(order.id)
    return parties, order


async def _delivered(rig: Rig, auto_release_after_s: int) -> tuple[Parties, OrderRecord]:
    """A funded order whose seller says that all is delivered; with its deadline."""
    parties, order = await _funded(rig, auto_release_after_s)
    await rig.succeeded(await rig.commit(lambda t: request_completion(t, order.id, "delivery", None)))
    return parties, await rig.read_order(order.id)


async def _shown(rig: Rig, workflow_id: str, deadline: str) -> dict[str, Any] | None:
    found: dict[str, Any] = await (await rig.temporal()).get_workflow_handle(workflow_id).query("state")
    return found if found.get("deadline") == deadline else None


async def _asked_for(rig: Rig, order_id: str, kind: OperationKind) -> bool:
    async with rig.database.reading() as reader:
        return await operations.last(reader, order_id, kind) is not None


async def _failed(rig: Rig, order_id: str, kind: OperationKind) -> OperationRecord | None:
    async with rig.database.reading() as reader:
        found = await operations.last(reader, order_id, kind)
    return found if found is not None and found.status == "FAILED" else None
