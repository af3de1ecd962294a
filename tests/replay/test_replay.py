"""Today's workflows must make the same decisions as the ones that wrote the recorded histories."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner
from temporalio.workflow import NondeterminismError

from worker import WORKFLOWS, workflow_runner

HISTORIES = sorted((Path(__file__).parent / "histories").rglob("*.json"))


def _load(path: Path) -> tuple[str, dict[str, Any]]:
    recorded = json.loads(path.read_text())
    return recorded["workflow_id"], recorded["history"]


def _replayer() -> Replayer:
    runner: SandboxedWorkflowRunner = workflow_runner()
    return Replayer(workflows=WORKFLOWS, workflow_runner=runner)


def test_every_workflow_has_a_recorded_history() -> None:
    kinds = {path.stem.partition("-")[2] for path in HISTORIES}
    assert kinds == {"order", "escrow", "release", "withdrawal", "wallet-stock", "deposits"}


@pytest.mark.parametrize("path", HISTORIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
async def test_recorded_history_replays(path: Path) -> None:
    workflow_id, history = _load(path)
    await _replayer().replay_workflow(WorkflowHistory.from_json(workflow_id, history))


async def test_a_changed_order_of_steps_would_be_noticed() -> None:
    """The guard guards: the same history with two activities swapped must fail."""
    path = next(path for path in HISTORIES if "release" in path.stem)
    workflow_id, history = _load(path)
    scheduled = [
        event["activityTaskScheduledEventAttributes"] for event in history["events"] if "activityTaskScheduledEventAttributes" in event
    ]
    scheduled[0]["activityType"], scheduled[1]["activityType"] = scheduled[1]["activityType"], scheduled[0]["activityType"]
    with pytest.raises(NondeterminismError):
        await _replayer().replay_workflow(WorkflowHistory.from_json(workflow_id, history))
