"""Webhooks out of a whole installation whose worker is killed while a receiver is thinking."""

from __future__ import annotations

import uuid

import pytest

from offerhub.commands.users import CreateUser, create_user
from offerhub.commands.webhooks import Wish, create_endpoint, delete_endpoint
from offerhub.storage import webhooks
from offerhub.stream.webhook_secrets import WebhookSecrets
from tests.e2e.rig import Rig, acting
from tests.receiver import Reply, receiving

pytestmark = pytest.mark.asyncio(loop_scope="session")

USERS = 6


async def test_worker_killed_in_the_middle_of_a_delivery(rig: Rig) -> None:
    async with receiving() as receiver:
        async with rig.database.transaction(acting()) as transaction:
            made = await create_endpoint(transaction, Wish(receiver.url(), ("user.created",)), WebhookSecrets(rig.webhook_key))
        receiver.reply = lambda _: Reply(delay_s=600 if len(receiver.took) == 3 else 0)
        users = [await _user(rig) for _ in range(USERS)]
        await receiver.until(lambda: len(receiver.took) == 3)
        rig.kill_worker()
        await rig.start_worker(wait_for_wallets=0)
        await receiver.until(lambda: len(receiver.took) == USERS + 1)
        seen = [received.event["aggregateId"] for received in receiver.took]
        assert seen == users[:3] + users[2:], "the one that was under way comes again, with the rest after it"
        assert receiver.took[2].id == receiver.took[3].id
        assert receiver.took[2].body == receiver.took[3].body
        assert all(received.is_signed_with(made.secret) for received in receiver.took)
        await rig.until(lambda: _is_at(rig, made.endpoint.id, receiver.took[-1].event["position"]))
        async with rig.database.transaction(acting()) as transaction:
            await delete_endpoint(transaction, made.endpoint.id)


async def _user(rig: Rig) -> str:
    async with rig.database.transaction(acting()) as transaction:
        return (await create_user(transaction, CreateUser(uuid.uuid4().hex))).id


async def _is_at(rig: Rig, endpoint_id: str, position: int) -> bool:
    async with rig.database.reading() as reader:
        endpoint = await webhooks.get(reader, endpoint_id)
    return endpoint is not None and endpoint.position == position
