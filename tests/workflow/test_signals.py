"""Workflows that must never stop, against signals as a person may send them: without input, with too much, of another kind."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from offerhub.commands.users import CreateUser, create_user
from offerhub.commands.webhooks import LOOK, Wish, create_endpoint, delete_endpoint
from offerhub.domain.ids import webhook_workflow_id
from offerhub.domain.messages import DEPOSITS_WORKFLOW_ID
from offerhub.stream.webhook_secrets import WebhookSecrets
from tests.e2e.rig import Rig, acting
from tests.receiver import receiving

pytestmark = pytest.mark.asyncio(loop_scope="session")

AMOUNT = 50_000_000
STRANGE: tuple[list[object], ...] = ([], [None], ["a", "b"], [{"note": "ana"}], [7], [" "], ["\x00"])


async def test_deposits_are_read_on_whatever_is_said_of_a_gap(rig: Rig) -> None:
    handle = (await rig.temporal()).get_workflow_handle(DEPOSITS_WORKFLOW_ID)

    async def said(words: str) -> bool:
        return words in str(await handle.query("__temporal_workflow_metadata"))

    for strange in STRANGE:
        await handle.signal("accept_gap", args=strange)
    await rig.until(lambda: said("The gap was not accepted"))
    await rig.deposit(await rig.user(), AMOUNT)
    await handle.signal("accept_gap", "ana: just looking")
    await rig.until(lambda: said("There is no gap to accept."))


async def test_webhooks_are_delivered_whatever_is_said_to_their_workflow(rig: Rig) -> None:
    async with receiving() as receiver:
        async with rig.database.transaction(acting()) as transaction:
            endpoint = (
                await create_endpoint(transaction, Wish(receiver.url(), ("user.created",)), WebhookSecrets(rig.webhook_key))
            ).endpoint
        workflow_id = webhook_workflow_id(endpoint.id)
        handle = (await rig.temporal()).get_workflow_handle(workflow_id)
        await rig.until(lambda: rig.has_scheduled(workflow_id, "deliver_webhooks"))
        for strange in STRANGE:
            await handle.signal(LOOK, args=strange)
        async with rig.database.transaction(acting()) as transaction:
            await create_user(transaction, CreateUser(uuid.uuid4().hex))
        await receiver.until(lambda: len(receiver.took) == 1)
        async with rig.database.transaction(acting()) as transaction:
            await delete_endpoint(transaction, endpoint.id)
        assert await handle.result() == "The endpoint was deleted."


async def test_a_payout_is_accepted_only_by_who_says_who_and_why(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    async with rig.database.transaction(acting()) as transaction:
        await transaction.run(text("UPDATE orders SET platform_fee_bps = 100 WHERE id = :id"), id=order.id)
    accepted = await rig.accept_release(order.id)
    handle = (await rig.temporal()).get_workflow_handle(f"release/{order.id}")

    async def said(words: str) -> bool:
        return words in str(await handle.query("__temporal_workflow_metadata"))

    await rig.until(lambda: rig.events_of("ledger.mismatch", accepted.operation.id))
    for strange in STRANGE:
        await handle.signal("accept_payout", args=strange)
    await rig.until(lambda: said("Not accepted: "))
    assert (await rig.operation(accepted.operation.id)).status == "RUNNING"
    await handle.signal("accept_payout", "ana: that is what the contract took")
    await rig.succeeded(accepted)
    await rig.assert_books_equal_chain(buyer, seller)
