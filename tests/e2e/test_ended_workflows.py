"""An operator may end a workflow, and Temporal may lose one: an accepted operation is carried out all the same."""

from __future__ import annotations

from datetime import timedelta

import pytest

from activities.housekeeping import keep_house_once
from tests.e2e.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

AMOUNT = 120_000_000


async def test_release_whose_workflows_were_terminated_is_told_again_and_pays_once(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    accepted = await rig.accept_release(order.id)
    await rig.until(lambda: rig.attempts_of(accepted.operation.id))
    rig.kill_worker()
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
