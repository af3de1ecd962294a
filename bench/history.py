"""How many history events one order's life takes: the price in Temporal's storage, and nearly in its CPU.

Counted: the events of the order's workflow, of its child workflows and of every run that continued one of them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from temporalio.api.history.v1 import HistoryEvent
from temporalio.client import Client

LOOKED_AT = 5


@dataclass(frozen=True)
class HistoryEvents:
    """Averages over ``orders`` orders: in all, and by workflow type."""

    orders: int
    per_life_cycle: float
    by_workflow: Mapping[str, float]


async def count_events(address: str, namespace: str, orders: Sequence[str]) -> HistoryEvents:
    client = await Client.connect(address, namespace=namespace)
    chosen = orders[-LOOKED_AT:]
    counted: Counter[str] = Counter()
    for order in chosen:
        counted += await _of_order(client, order)
    shares = {name: round(number / len(chosen), 1) for name, number in counted.items()}
    return HistoryEvents(len(chosen), round(counted.total() / len(chosen), 1), shares)


async def _of_order(client: Client, order: str) -> Counter[str]:
    counted: Counter[str] = Counter()
    waiting: deque[tuple[str, str | None]] = deque([(f"order/{order}", None)])
    while waiting:
        workflow_id, run_id = waiting.popleft()
        name = ""
        async for event in client.get_workflow_handle(workflow_id, run_id=run_id).fetch_history_events():
            name = event.workflow_execution_started_event_attributes.workflow_type.name or name
            counted[name] += 1
            waiting.extend(_runs_named_by(event, workflow_id))
    return counted


def _runs_named_by(event: HistoryEvent, workflow_id: str) -> list[tuple[str, str | None]]:
    """The child it says was started, or the run it says goes on."""
    if event.HasField("child_workflow_execution_started_event_attributes"):
        child = event.child_workflow_execution_started_event_attributes.workflow_execution
        return [(child.workflow_id, child.run_id)]
    if event.HasField("workflow_execution_continued_as_new_event_attributes"):
        return [(workflow_id, event.workflow_execution_continued_as_new_event_attributes.new_execution_run_id)]
    return []
