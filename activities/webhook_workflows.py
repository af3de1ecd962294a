"""Each webhook endpoint has a workflow: told of changes by the outbox, and started again with the worker should it be missing."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client

from offerhub.commands.webhooks import LOOK, WEBHOOK_WORKFLOW
from offerhub.domain.ids import webhook_workflow_id
from offerhub.domain.messages import ORDERS_QUEUE, WebhookInput
from offerhub.storage import webhooks
from offerhub.storage.unit_of_work import Database

_RPC_TIMEOUT = timedelta(seconds=5)


async def look_at_endpoint(client: Client, endpoint: WebhookInput) -> None:
    """Wake the endpoint's workflow, or start it. Once too often does no harm: what is to be done stands in the database."""
    await client.start_workflow(
        WEBHOOK_WORKFLOW,
        endpoint,
        id=webhook_workflow_id(endpoint.endpoint_id),
        task_queue=ORDERS_QUEUE,
        start_signal=LOOK,
        start_signal_args=[endpoint],
        static_summary=f"Events to the webhook endpoint {endpoint.endpoint_id}",
        rpc_timeout=_RPC_TIMEOUT,
    )


async def look_at_all_endpoints(client: Client, database: Database) -> None:
    """For a Temporal server that has lost its histories, or a workflow that somebody has ended by hand."""
    async with database.reading() as reader:
        enabled = await webhooks.all_enabled(reader)
    for endpoint in enabled:
        await look_at_endpoint(client, WebhookInput(endpoint.id))
