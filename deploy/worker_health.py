"""Health check of a worker's container: does Temporal see this container poll the task queue of each of its roles?

A worker has no port to ask. A process that runs but takes no work (Temporal unreachable, a role that keeps falling over) is found here.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

from offerhub.domain.messages import CUSTODY_QUEUE, ORDERS_QUEUE, STREAMS_QUEUE, TRUSTLESS_QUEUE
from offerhub.settings import Settings, load_settings

QUEUES = {"orders": ORDERS_QUEUE, "trustless": TRUSTLESS_QUEUE, "custody": CUSTODY_QUEUE, "streams": STREAMS_QUEUE}
# An idle poll lasts a minute; Temporal forgets a poller after five.
SILENCE = timedelta(seconds=100)


async def silent_roles(settings: Settings, host: str) -> list[str]:
    """The roles whose queue no process of ``host`` has polled lately."""
    client = await Client.connect(settings.temporal_address, namespace=settings.temporal_namespace)
    return [role for role in sorted(settings.roles) if not await _polled(client, QUEUES[role], host)]


async def _polled(client: Client, queue: str, host: str) -> bool:
    answer = await client.workflow_service.describe_task_queue(
        DescribeTaskQueueRequest(
            namespace=client.namespace,
            task_queue=TaskQueue(name=queue),
            task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
    )
    oldest = datetime.now(UTC) - SILENCE
    # The SDK calls itself <process>@<host>.
    return any(
        poller.identity.endswith(f"@{host}") and poller.last_access_time.ToDatetime(tzinfo=UTC) >= oldest for poller in answer.pollers
    )


def main() -> int:
    try:
        silent = asyncio.run(silent_roles(load_settings(), socket.gethostname()))
    except (RPCError, RuntimeError) as error:
        sys.stderr.write(f"Temporal: {error}\n")
        return 1
    if silent:
        sys.stderr.write(f"not polling: {', '.join(silent)}\n")
    return 1 if silent else 0


if __name__ == "__main__":
    code = main()
    sys.stderr.flush()
    # The SDK's threads may abort the interpreter while it takes itself down.
    os._exit(code)
