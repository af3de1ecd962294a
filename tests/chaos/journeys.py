"""The ways through the product that reach every verb, and every activity on its way, the refusals included."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import text
from temporalio.service import RPCError

from offerhub.commands.reconciliation import request_run
from offerhub.commands.webhooks import Wish, create_endpoint, delete_endpoint
from offerhub.domain import ledger
from offerhub.domain.messages import DEPOSITS_WORKFLOW_ID
from offerhub.storage import reconciliation
from offerhub.storage.webhooks import EndpointRecord
from offerhub.stream.webhook_secrets import WebhookSecrets
from tests.chaos.installation import Installation
from tests.e2e.rig import acting
from tests.receiver import Receiver, receiving

AMOUNT = 250_000_000
WITHDRAWN = 40_000_000


async def life(installation: Installation) -> None:
    """Deposit, order, escrow, release; then the seller takes money out. The marketplace is told of it all."""
    async with receiving() as receiver:
        endpoint = await _listen(installation, receiver)
        await _trade(installation)
        await installation.until(lambda: _told_everything(installation, receiver, endpoint))
        async with installation.database.transaction(acting()) as transaction:
            await delete_endpoint(transaction, endpoint.id)


async def _listen(installation: Installation, receiver: Receiver) -> EndpointRecord:
    async with installation.database.transaction(acting()) as transaction:
        keeper = WebhookSecrets(installation.webhook_key)
        return (await create_endpoint(transaction, Wish(receiver.url(), ("order.*", "withdrawal.*")), keeper)).endpoint


async def _told_everything(installation: Installation, receiver: Receiver, endpoint: EndpointRecord) -> bool:
    """Every event there is by now; in order, but for those that came more than once."""
    happened = await installation.rows(
        "SELECT id FROM events WHERE position > :position AND (type LIKE 'order.%' OR type LIKE 'withdrawal.%') ORDER BY position",
        position=endpoint.position,
    )
    told = list(dict.fromkeys(receiver.ids))
    ids = [row["id"] for row in happened]
    assert told == ids[: len(told)] or len(told) > len(ids), (told, ids)
    return len(told) >= len(ids)


async def _trade(installation: Installation) -> None:
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(order.id)
    await installation.succeeded(await installation.accept_release(order.id))
    assert (await installation.read_order(order.id)).state == "CLOSED"
    payee = await installation.payee()
    taken = await installation.accept_withdrawal(seller, payee, WITHDRAWN)
    await installation.succeeded(taken)
    assert await installation.on_chain(payee) == WITHDRAWN


async def refusals(installation: Installation) -> None:
    """The chain says no to a funding and to a withdrawal: the money is where it was, and the next try goes through."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    payee = await installation.payee()
    await installation.fault("refuse_transaction", code="op_line_full", account=payee, next=1)
    refused = await installation.finished(await installation.accept_withdrawal(buyer, payee, WITHDRAWN))
    assert refused.status == "FAILED"
    assert await installation.balance(ledger.available(buyer.id)) == AMOUNT
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.succeeded(await installation.accept_escrow(order.id))
    await installation.fault("refuse_transaction", code="function_trapped", account=str(buyer.public_key), next=1)
    refused = await installation.finished(await installation.accept_funding(order.id))
    assert refused.status == "FAILED"
    assert await installation.balance(ledger.reserved(buyer.id)) == AMOUNT
    await installation.succeeded(await installation.accept_funding(order.id))
    await installation.succeeded(await installation.accept_release(order.id))


async def mismatch(installation: Installation) -> None:
    """Books and chain disagree on a release: nobody books it until a person has set right what was wrong and says so."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(order.id)
    await _set_fee(installation, order.id, order.platform_fee_bps + 100)
    release = await installation.accept_release(order.id)
    await installation.until(lambda: installation.events_of("ledger.mismatch", release.operation.id))
    release_workflow = (await installation.temporal()).get_workflow_handle(f"release/{order.id}")
    # Asked while the two still disagree, the movements are read again and nothing is booked.
    await release_workflow.signal("retry")
    await installation.until(lambda: installation.has_scheduled(f"release/{order.id}", "read_movements_again"))
    assert (await installation.operation(release.operation.id)).status == "RUNNING"
    await _set_fee(installation, order.id, order.platform_fee_bps)
    with suppress(RPCError):  # the first wish may have been granted by now
        await release_workflow.signal("retry")
    await installation.succeeded(release)


async def _set_fee(installation: Installation, order_id: str, fee_bps: int) -> None:
    async with installation.database.engine.begin() as connection:
        await connection.execute(text("UPDATE orders SET platform_fee_bps = :bps WHERE id = :id"), {"bps": fee_bps, "id": order_id})


async def inspection(installation: Installation) -> None:
    """The product's own comparison of books and chain finds nothing. And somebody accepts a gap in the payments where there is none."""
    await (await installation.temporal()).get_workflow_handle(DEPOSITS_WORKFLOW_ID).signal("accept_gap", "nobody: just looking")
    async with installation.database.transaction(acting()) as transaction:
        run = await request_run(transaction, "request")

    async def completed() -> bool:
        async with installation.database.reading() as reader:
            found = await reconciliation.get_run(reader, run.id)
        return found is not None and found.status == "COMPLETED"

    await installation.until(completed)
    async with installation.database.reading() as reader:
        assert await reconciliation.findings(reader, run.id, 100) == []
