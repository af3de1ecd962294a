"""An operator may end a workflow, and Temporal may lose one: an accepted operation is carried out all the same."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

import pytest
from temporalio.service import RPCError

from activities.housekeeping import keep_house_once
from offerhub.commands.checkout import request_checkout
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision
from tests.e2e.rig import Rig

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

AMOUNT = 120_000_000


async def test_release_whose_workflows_were_terminated_is_told_again_and_pays_once(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    await rig.control("ledger", {"intervalSeconds": None})
    try:
        accepted = await rig.accept_release(order.id)
        await rig.until(lambda: rig.attempts_of(accepted.operation.id))
        rig.kill_worker()
    finally:
        await rig.control("ledger", {"intervalSeconds": 0})
    client = await rig.temporal()
    for workflow_id in (f"order/{order.id}", f"release/{order.id}"):
        await client.get_workflow_handle(workflow_id).terminate("an operator's mistake")
    await rig.start_worker(wait_for_wallets=0)
    assert await keep_house_once(rig.database, timedelta(hours=1)) == 0
    assert await keep_house_once(rig.database, timedelta(0)) >= 1
    await rig.succeeded(accepted)
    attempts = await rig.attempts_of(accepted.operation.id)
    assert [attempt.state for attempt in attempts] == ["CONFIRMED"] * 3
    await rig.assert_books_equal_chain(buyer, seller)


async def test_checkout_whose_workflows_were_terminated_halfway_funds_the_contract_it_has_deployed(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    accepted = await rig.commit(lambda t: request_checkout(t, order.id))

    async def deployed() -> bool:
        return (await rig.read_order(order.id)).state == "ESCROW_FUNDING"

    await rig.until(deployed)
    rig.kill_worker()
    await _terminate(rig, f"order/{order.id}", accepted.operation.workflow_id)
    await rig.start_worker(wait_for_wallets=0)
    await keep_house_once(rig.database, timedelta(0))
    await rig.succeeded(accepted)
    attempts = await rig.attempts_of(accepted.operation.id)
    assert [attempt.state for attempt in attempts] == ["CONFIRMED"] * 2
    await rig.assert_books_equal_chain(buyer, seller)


async def test_dispute_whose_workflow_was_terminated_is_decided_all_the_same(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    opened = await rig.commit(lambda t: open_dispute(t, OpenDispute(order.id, Party.BUYER, "QUALITY"), DisputeDeadlines()))
    await rig.succeeded(opened)
    await _terminate(rig, f"dispute/{opened.dispute.id}", f"order/{order.id}")
    wanted = ResolveDispute(opened.dispute.id, Decision.FULL_REFUND, "ana")
    accepted = await rig.commit(lambda t: resolve_dispute(t, wanted))
    await rig.until(lambda: rig.attempts_of(accepted.operation.id))
    rig.kill_worker()
    await _terminate(rig, f"dispute/{opened.dispute.id}")
    await rig.start_worker(wait_for_wallets=0)
    await keep_house_once(rig.database, timedelta(0))
    await rig.succeeded(accepted)
    await rig.closed(order.id, "REFUNDED")
    assert [attempt.state for attempt in await rig.attempts_of(accepted.operation.id)] == ["CONFIRMED"]
    await rig.assert_books_equal_chain(buyer, seller)


async def _terminate(rig: Rig, *workflow_ids: str) -> None:
    """Those that still run."""
    client = await rig.temporal()
    for workflow_id in workflow_ids:
        with suppress(RPCError):
            await client.get_workflow_handle(workflow_id).terminate("an operator's mistake")
