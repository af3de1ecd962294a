"""Record histories of a real run for ``test_replay``: ``python -m tests.replay.record <folder name>``, before a release.

Starts its own services, lets orders run through their verbs (one is refused on the way), and writes one history per workflow.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowExecutionStatus

from offerhub.commands.checkout import request_checkout
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.milestones import request_completion
from offerhub.commands.orders import DEFAULT_MILESTONE_REF, CreateOrder, MilestoneWish, Terms, create_order
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release
from offerhub.commands.webhooks import Wish, create_endpoint, delete_endpoint
from offerhub.domain.ids import remainder_workflow_id, webhook_workflow_id
from offerhub.domain.plans import Party
from offerhub.domain.states import ReleaseMode
from offerhub.storage.users import UserRecord
from offerhub.stream.webhook_secrets import WebhookSecrets
from tests.e2e.contracts import gift
from tests.e2e.outside import NO_LIMIT, OutsideAccount, accept_withdrawal
from tests.e2e.rig import FEE_BPS, Rig, acting
from tests.receiver import Reply, receiving
from tests.services import TestServices, start_postgres, start_sandbox, start_temporal, start_valkey

HISTORIES = Path(__file__).parent / "histories"
AMOUNT = 123_456_789
A_DAY = 86_400


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


async def _run_every_verb(rig: Rig) -> list[str]:
    """What an order may come to besides a release; two of these wait for time to pass, and are told of it."""
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, 6 * AMOUNT)
    whole = Terms(FEE_BPS, make_buyer_whole=True)
    refunded = await _order(rig, (buyer, seller), whole)
    await rig.succeeded(await rig.commit(partial(request_refund, order_id=refunded, reason="late")))
    disputed = await _order(rig, (buyer, seller), whole)
    wanted = OpenDispute(disputed, Party.SELLER, "QUALITY")
    opened = await rig.commit(partial(open_dispute, wanted=wanted, deadlines=DisputeDeadlines(A_DAY)))
    await rig.succeeded(opened)
    dispute = (await rig.temporal()).get_workflow_handle(f"dispute/{opened.dispute.id}")
    await dispute.signal("decide", "split it")
    await dispute.signal("decide", {"decision": "SPLIT", "releaseAmount": "10.00", "refundAmount": "2.3456789", "by": "ana"})
    delivered = await _order(rig, (buyer, seller), whole, auto_release_after_s=A_DAY)
    completed = await rig.commit(partial(request_completion, order_id=delivered, ref=DEFAULT_MILESTONE_REF, evidence=None))
    await rig.succeeded(completed)
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo design", reservation_expires_after_s=A_DAY)
    expired = (await rig.reserved(request)).id
    parts, remainder_of = await _per_milestone(rig, (buyer, seller))
    await rig.advance_clock(A_DAY + 60)
    for order_id in (refunded, disputed, delivered, expired, parts):
        await rig.until(partial(_is_over, rig, order_id))
    runs = [f"order/{order_id}" for order_id in (refunded, disputed, delivered, expired, parts)]
    return [*runs, f"refund/{refunded}", f"compensation/{refunded}", dispute.id, completed.operation.workflow_id, remainder_of]


async def _order(rig: Rig, parties: tuple[UserRecord, UserRecord], terms: Terms, auto_release_after_s: int | None = None) -> str:
    """Paid for by a checkout."""
    buyer, seller = parties
    request = CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "Logo design", auto_release_after_s=auto_release_after_s)
    order = await rig.commit(partial(create_order, request=request, terms=terms))
    await rig.succeeded(await rig.commit(partial(request_checkout, order_id=order.id)))
    return order.id


async def _per_milestone(rig: Rig, parties: tuple[UserRecord, UserRecord]) -> tuple[str, str]:
    """The order, and the workflow that paid a stranger's gift out of its contract."""
    buyer, seller = parties
    wishes, mode = (MilestoneWish("m1", "All of it", AMOUNT),), ReleaseMode.PER_MILESTONE
    order = await rig.reserved(CreateOrder(buyer.id, seller.id, AMOUNT, "USDC", "A web site", milestones=wishes, release_mode=mode))
    await rig.funded(order.id)
    escrow = (await rig.read_order(order.id)).the_escrow
    await gift(rig, escrow.contract_id, AMOUNT // 10)
    await rig.succeeded(await rig.commit(partial(request_milestone_release, order_id=order.id, ref="m1")))

    async def emptied() -> bool:
        return await rig.in_contract(escrow.contract_id) == 0

    await rig.until(emptied)
    return order.id, remainder_workflow_id(order.id)


async def _is_over(rig: Rig, order_id: str) -> bool:
    """Nothing is left to do, and the workflow has ended."""
    order = await rig.read_order(order_id)
    described = await (await rig.temporal()).get_workflow_handle(f"order/{order_id}").describe()
    return order.operation is None and described.status is WorkflowExecutionStatus.COMPLETED


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
    """Every run: what is accepted for an order that is closed begins another one."""
    number = 0
    for workflow_id in workflow_ids:
        async for run in client.list_workflows(f"WorkflowId = '{workflow_id}'"):
            history = await client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
            _write(folder / f"{number}-{workflow_id.partition('/')[0]}.json", workflow_id, history.to_json_dict())
            number += 1


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
                await _save(await rig.temporal(), [*await _run_orders(rig), *await _run_every_verb(rig)], folder)
            finally:
                await rig.close()
    finally:
        services.stop()


if __name__ == "__main__":
    asyncio.run(_record(HISTORIES / sys.argv[1]))
