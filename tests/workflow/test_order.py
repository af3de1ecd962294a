"""The order's workflow against what can be sent to it: duplicates, strangers, late messages."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.order_facts import Accepted
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.messages import ORDERS_QUEUE, DisputeMessage, OrderInput, OrderMessage
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision
from offerhub.storage.orders import OrderRecord
from tests.e2e.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

AMOUNT = 120_000_000


async def _funded_order(rig: Rig) -> OrderRecord:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    return order


async def test_repeated_messages_are_carried_out_once(rig: Rig) -> None:
    order = await _funded_order(rig)
    accepted = await rig.accept_release(order.id)
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order.id}")
    for _ in range(3):
        await handle.signal("message", OrderMessage(order.id, accepted.operation.id, "release"))
    await rig.succeeded(accepted)
    assert await handle.result() == "RELEASED"
    assert len(await rig.attempts_of(accepted.operation.id)) == 3


async def test_strange_messages_are_shown_and_change_nothing(rig: Rig) -> None:
    order, other = await _funded_order(rig), await _funded_order(rig)
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order.id}")
    await handle.signal("message", OrderMessage(order.id, "op_00000000000000000000000000", "release"))
    await _shows(rig, order.id, "there is no operation op_00000000000000000000000000")
    foreign = await rig.accept_release(other.id)
    await handle.signal("message", OrderMessage(order.id, foreign.operation.id, "release"))
    await _shows(rig, order.id, f"{foreign.operation.id} belongs to {other.id}")
    for strange in (["not a message at all"], [], [None, None], [{"operation_id": "\x00"}]):
        await handle.signal("message", args=strange)
    await rig.succeeded(foreign)
    await rig.succeeded(await rig.accept_release(order.id))


async def test_an_operation_of_a_dispute_is_left_to_the_disputes_workflow(rig: Rig) -> None:
    order = await _funded_order(rig)
    opened = await rig.commit(lambda t: open_dispute(t, OpenDispute(order.id, Party.BUYER, "QUALITY"), DisputeDeadlines()))
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order.id}")
    await handle.signal("message", OrderMessage(order.id, opened.operation.id, "dispute_opening"))
    await rig.succeeded(opened)
    assert [attempt.state for attempt in await rig.attempts_of(opened.operation.id)] == ["CONFIRMED"]
    dispute = (await rig.temporal()).get_workflow_handle(f"dispute/{opened.dispute.id}")
    for strange in (["retry"], [], [1, 2]):
        await dispute.signal("retry", args=strange)
        await dispute.signal("message", args=strange)
    await dispute.signal("message", DisputeMessage(opened.dispute.id, opened.operation.id, "dispute_opening"))
    await rig.until(lambda: _has_begun(rig, dispute.id, times=2))
    assert (await dispute.query("state"))["last_error"] == "", "a repeated message is nothing to report"
    wanted = ResolveDispute(opened.dispute.id, Decision.FULL_RELEASE, "ana")
    await rig.succeeded(await rig.commit(lambda t: resolve_dispute(t, wanted)))
    assert await dispute.result() == "RESOLVED"
    assert await handle.result() == "RELEASED"


async def test_message_for_a_closed_order_starts_nothing_on_the_chain(rig: Rig) -> None:
    order = await _funded_order(rig)
    accepted = await rig.accept_release(order.id)
    await rig.succeeded(accepted)
    client = await rig.temporal()
    await client.get_workflow_handle(f"order/{order.id}").result()
    again = await client.start_workflow(
        "Order",
        OrderInput(order.id),
        id=f"order/{order.id}",
        task_queue=ORDERS_QUEUE,
        start_signal="message",
        start_signal_args=[OrderMessage(order.id, accepted.operation.id, "release")],
    )
    await again.result()
    assert (await again.describe()).status is WorkflowExecutionStatus.COMPLETED
    assert len(await rig.attempts_of(accepted.operation.id)) == 3


async def test_a_message_does_not_wait_until_the_index_of_an_ending_order_is_told(rig: Rig) -> None:
    """So comes a refund's compensation: money does not wait for news."""
    order = await _funded_order(rig)
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order.id}")
    async with httpx.AsyncClient(base_url=rig.sandbox.url, timeout=60) as control:
        deaf = {"kind": "tw_rate_limit", "path": "indexer", "retryAfterSeconds": 3}
        fault = (await control.post("/control/faults", json=deaf)).raise_for_status().json()
        await rig.succeeded(await rig.accept_release(order.id))
        await rig.until(lambda: _sees(handle, "CLOSED"))
        await handle.signal("message", OrderMessage(order.id, "op_00000000000000000000000000", "compensation"))
        await _shows(rig, order.id, "there is no operation op_00000000000000000000000000")
        assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING, "the index is still to be told"
        await control.delete(f"/control/faults/{fault['id']}")
    assert await handle.result() == "RELEASED"


async def test_orders_of_one_buyer_take_turns_on_the_buyers_account(rig: Rig) -> None:
    buyer, sellers = await rig.user(), [await rig.user() for _ in range(3)]
    await rig.deposit(buyer, 3 * AMOUNT)
    orders = [await rig.order(buyer, seller, AMOUNT) for seller in sellers]
    for order in orders:
        await rig.succeeded(await rig.accept_escrow(order.id))
    accepted: list[Accepted] = [await rig.accept_funding(order.id) for order in orders]
    for one in accepted:
        await rig.succeeded(one)
    attempts = [attempt for one in accepted for attempt in await rig.attempts_of(one.operation.id)]
    sequences = sorted(attempt.sequence for attempt in attempts)
    assert [attempt.state for attempt in attempts] == ["CONFIRMED"] * 3
    assert sequences == list(range(sequences[0], sequences[0] + 3))
    await rig.assert_books_equal_chain(buyer, *sellers)


async def _has_begun(rig: Rig, workflow_id: str, times: int) -> bool:
    """So often it has asked what is to be done for an operation: a local activity, which leaves a marker."""
    history = await (await rig.temporal()).get_workflow_handle(workflow_id).fetch_history()
    return sum("begin_operation" in str(event.marker_recorded_event_attributes) for event in history.events) == times


async def _sees(handle: WorkflowHandle[Any, Any], state: str) -> bool:
    return bool((await handle.query("state"))["state"] == state)


async def _shows(rig: Rig, order_id: str, sentence: str) -> None:
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order_id}")

    async def shown() -> bool:
        return sentence in (await handle.query("state")).get("last_error", "")

    await rig.until(shown)
