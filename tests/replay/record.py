"""Record histories of a real run for ``test_replay``: ``python -m tests.replay.record <folder name>``, before a release.

Starts its own services, lets orders run through their verbs (one is refused on the way), and writes one history per workflow.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from temporalio.client import Client

from offerhub.commands.webhooks import Wish, create_endpoint, delete_endpoint
from offerhub.domain.ids import webhook_workflow_id
from offerhub.storage.users import UserRecord
from offerhub.stream.webhook_secrets import WebhookSecrets
from tests.e2e.outside import NO_LIMIT, OutsideAccount, accept_withdrawal
from tests.e2e.rig import Rig, acting
from tests.receiver import Reply, receiving
from tests.services import TestServices, start_postgres, start_sandbox, start_temporal, start_valkey

HISTORIES = Path(__file__).parent / "histories"
AMOUNT = 123_456_789


async def _run_orders(rig: Rig) -> list[str]:
    """The ids of the workflows worth keeping."""
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, 2 * AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT, milestones=2)
    await rig.funded(order.id)
    await rig.succeeded(await rig.accept_release(order.id))
    refused = await rig.order(buyer, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(refused.id))
    await rig.withdraw_behind_our_back(buyer)
    assert (await rig.finished(await rig.accept_funding(refused.id))).status == "FAILED"
    webhook = await _tell(rig)
    withdrawals = [await _withdraw(rig, seller, limit_stroops) for limit_stroops in (NO_LIMIT, 0)]
    client = await rig.temporal()
    await client.get_workflow_handle(f"order/{order.id}").result()
    escrows = [f"escrow/{(await rig.read_order(one)).the_escrow.id}" for one in (order.id, refused.id)]
    return [f"order/{order.id}", f"order/{refused.id}", *escrows, f"release/{order.id}", "wallet-stock", "deposits", *withdrawals, webhook]


async def _withdraw(rig: Rig, user: UserRecord, limit_stroops: int) -> str:
    """To an account outside; without a trustline there the ledger refuses the payment."""
    outside = await OutsideAccount.open(rig.sandbox, limit_stroops)
    accepted = await accept_withdrawal(rig, user, outside.address, AMOUNT // 4)
    assert (await rig.finished(accepted)).status == ("SUCCEEDED" if limit_stroops else "FAILED")
    await (await rig.temporal()).get_workflow_handle(accepted.operation.workflow_id).result()
    return accepted.operation.workflow_id


async def _tell(rig: Rig) -> str:
    """A receiver fails once, takes the event at the second try, and is deleted."""
    async with receiving() as receiver:
        receiver.reply = lambda _: Reply(503 if len(receiver.took) == 1 else 200)
        async with rig.database.transaction(acting()) as transaction:
            wish = Wish(receiver.url(), ("webhook_endpoint.created",))
            endpoint = (await create_endpoint(transaction, wish, WebhookSecrets(rig.webhook_key))).endpoint
        await receiver.until(lambda: len(receiver.took) == 2)
        async with rig.database.transaction(acting()) as transaction:
            await delete_endpoint(transaction, endpoint.id)
        workflow_id = webhook_workflow_id(endpoint.id)
        await (await rig.temporal()).get_workflow_handle(workflow_id).result()
        return workflow_id


async def _save(client: Client, workflow_ids: list[str], folder: Path) -> None:
    for number, workflow_id in enumerate(workflow_ids):
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        _write(folder / f"{number}-{workflow_id.partition('/')[0]}.json", workflow_id, history.to_json_dict())


def _write(path: Path, workflow_id: str, history: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    recorded = {"workflow_id": workflow_id, "history": _without_traces_of_the_machine(history)}
    path.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")


def _without_traces_of_the_machine(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _without_traces_of_the_machine(value) for key, value in part.items() if key not in {"stackTrace", "identity"}}
    if isinstance(part, list):
        return [_without_traces_of_the_machine(one) for one in part]
    return part


async def _record(folder: Path) -> None:
    services = TestServices()
    try:
        postgres, redis, temporal, sandbox = (
            start_postgres(services),
            start_valkey(services),
            start_temporal(services),
            start_sandbox(services),
        )
        with postgres.database(postgres.migrate()) as url, tempfile.TemporaryDirectory() as scratch:
            rig = Rig(url, redis, temporal, sandbox, Path(scratch))
            try:
                await rig.start_worker()
                await _save(await rig.temporal(), await _run_orders(rig), folder)
            finally:
                await rig.close()
    finally:
        services.stop()


if __name__ == "__main__":
    asyncio.run(_record(HISTORIES / sys.argv[1]))
