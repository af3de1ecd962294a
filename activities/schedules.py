"""What Temporal starts by the clock."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)
from temporalio.service import RPCError, RPCStatusCode

from offerhub.domain.messages import ORDERS_QUEUE, RECONCILIATION_WORKFLOW_ID, ReconciliationInput
from workflows.reconciliation import ReconciliationWorkflow

_CATCH_UP = timedelta(minutes=10)


async def schedule_reconciliation(client: Client, every: timedelta) -> None:
    """Make the schedule what it should be, however often and by however many workers this is called; nothing is scheduled for zero.

    A schedule that an operator has paused stays paused.
    """
    if not every:
        await _remove(client)
        return
    wanted = Schedule(
        action=ScheduleActionStartWorkflow(
            ReconciliationWorkflow.run,
            ReconciliationInput(),
            id=RECONCILIATION_WORKFLOW_ID,
            task_queue=ORDERS_QUEUE,
            static_summary="Books and chain compared, by the clock",
        ),
        spec=ScheduleSpec(intervals=[ScheduleIntervalSpec(every=every)]),
        policy=SchedulePolicy(overlap=ScheduleOverlapPolicy.SKIP, catchup_window=_CATCH_UP),
    )
    try:
        await client.create_schedule(RECONCILIATION_WORKFLOW_ID, wanted)
    except ScheduleAlreadyRunningError:
        await client.get_schedule_handle(RECONCILIATION_WORKFLOW_ID).update(lambda now: _updated(now, wanted))


def _updated(now: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    return ScheduleUpdate(replace(wanted, state=now.description.schedule.state))


async def _remove(client: Client) -> None:
    try:
        await client.get_schedule_handle(RECONCILIATION_WORKFLOW_ID).delete()
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
