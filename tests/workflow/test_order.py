"""The order's workflow against what can be sent to it: duplicates, strangers, late messages."""

from __future__ import annotations

import pytest
from temporalio.client import WorkflowExecutionStatus

from offerhub.commands.order_facts import Accepted
from offerhub.domain.messages import ORDERS_QUEUE, OrderInput, OrderMessage
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
    await handle.signal("message", "not a message at all")
    await rig.succeeded(foreign)
    await rig.succeeded(await rig.accept_release(order.id))


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


async def _shows(rig: Rig, order_id: str, sentence: str) -> None:
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order_id}")

    async def shown() -> bool:
        return sentence in (await handle.query("state")).get("last_error", "")

    await rig.until(shown)
