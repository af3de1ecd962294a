"""Today's workflows must make the same decisions as the ones that wrote the recorded histories."""

from __future__ import annotations

import base64
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
    verbs = {"escrow", "release", "refund", "milestone", "compensation", "remainder", "dispute", "withdrawal"}
    assert kinds == {"order", "wallet-stock", "deposits", "webhook", *verbs}


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


async def test_a_refused_withdrawal_that_is_over_by_then_ends_as_it_is() -> None:
    """The recorded refusal, but somebody else has booked the payment meanwhile: nothing is left to wait for."""
    path = next(path for path in HISTORIES if b"WITHDRAWAL_FAILED" in base64.b64decode(_last_result(path)))
    workflow_id, history = _load(path)
    completed = _replaced(history, "WITHDRAWAL_FAILED", "WITHDRAWAL_COMPLETED")
    assert completed != history
    await _replayer().replay_workflow(WorkflowHistory.from_json(workflow_id, completed))


def _last_result(path: Path) -> str:
    ended = _load(path)[1]["events"][-1].get("workflowExecutionCompletedEventAttributes", {})
    return str(ended["result"]["payloads"][0]["data"]) if "result" in ended else ""


def _replaced(part: Any, old: str, new: str) -> Any:
    """The same history with one word for another in its payloads."""
    if isinstance(part, dict):
        return {key: _replaced_data(value, old, new) if key == "data" else _replaced(value, old, new) for key, value in part.items()}
    return [_replaced(one, old, new) for one in part] if isinstance(part, list) else part


def _replaced_data(data: Any, old: str, new: str) -> Any:
    if not isinstance(data, str):
        return _replaced(data, old, new)
    return base64.b64encode(base64.b64decode(data).replace(old.encode(), new.encode())).decode()
