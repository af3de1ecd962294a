"""Order → escrow → fund → release on the real parts; at the end the books equal the chain to the stroop."""

from __future__ import annotations

import json

import pytest
from temporalio.client import Client

from offerhub.domain import ledger
from offerhub.domain.fees import split_release
from tests.e2e.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

# Not a round number of stroops, so that both fees are floored.
AMOUNT = 800_000_333


async def test_books_equal_the_chain_after_every_operation(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, 1_000_000_000)
    revenue, protocol = await rig.balance(ledger.PLATFORM_REVENUE), await rig.balance(ledger.PROTOCOL_FEES)
    order = await rig.order(buyer, seller, AMOUNT, milestones=2)

    created = await rig.succeeded(await rig.accept_escrow(order.id))
    escrow = (await rig.read_order(order.id)).the_escrow
    assert (escrow.state, created.transaction_hashes) == ("CREATED", [escrow.deploy_hash])

    await rig.succeeded(await rig.accept_funding(order.id))
    assert await rig.balance(ledger.in_escrow(escrow.id)) == AMOUNT == await rig.in_contract(escrow.contract_id)
    await rig.assert_books_equal_chain(buyer, seller)

    released = await rig.succeeded(await rig.accept_release(order.id))
    closed = await rig.read_order(order.id)
    assert (closed.state, closed.final_status) == ("CLOSED", "RELEASED")
    assert {milestone.state for milestone in closed.milestones} == {"RELEASED"}
    assert len(released.transaction_hashes) == 5
    split = split_release(AMOUNT, 250)
    assert await rig.balance(ledger.available(seller.id)) == split.receiver_stroops
    assert await rig.balance(ledger.PLATFORM_REVENUE) - revenue == split.platform_fee_stroops
    assert await rig.balance(ledger.PROTOCOL_FEES) - protocol == split.protocol_fee_stroops
    assert await rig.balance(ledger.in_escrow(escrow.id)) == 0 == await rig.in_contract(escrow.contract_id)
    await rig.assert_books_equal_chain(buyer, seller)


async def test_operator_sees_the_order_without_opening_code(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    client = await rig.temporal()
    handle = client.get_workflow_handle(f"order/{order.id}")
    state = await rig.until(lambda: _state(client, order.id, "IN_PROGRESS"))
    assert f"the marketplace to call `POST /orders/{order.id}/resolution/release` or" in state["waits_for"]
    described = await handle.describe()
    assert await described.static_summary() == f"Order {order.id} · 80.0000333 USDC · {buyer.id} → {seller.id}"
    attributes = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert attributes["OrderStatus"] == "IN_PROGRESS"
    assert attributes["AmountStroops"] == AMOUNT
    assert attributes["EscrowContract"] == (await rig.read_order(order.id)).the_escrow.contract_id
    assert [outcome["status"] for outcome in await handle.query("attempts")] == ["applied", "applied"]
    summaries = await rig.activity_summaries(f"escrow/{(await rig.read_order(order.id)).the_escrow.id}")
    assert f"fund escrow · buyer {buyer.id} · 80.0000333 USDC" in summaries


async def test_no_secret_reaches_temporal(rig: Rig) -> None:
    client = await rig.temporal()
    seeds = rig.secrets()
    assert len(seeds) > 20
    read = 0
    async for execution in client.list_workflows():
        history = await client.get_workflow_handle(execution.id, run_id=execution.run_id).fetch_history()
        text = json.dumps(history.to_json_dict())
        read += 1
        assert not [seed for seed in seeds if seed in text]
    assert read >= 8


async def _state(client: Client, order_id: str, wanted: str) -> dict[str, str] | None:
    found: dict[str, str] = await client.get_workflow_handle(f"order/{order_id}").query("state")
    return found if found.get("state") == wanted else None
