"""The whole of `make up`: sandbox, migrations, worker and API on top of the stores."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.devstack.test_stack import KEYS, descendants, gone, wait_until
from tests.services import RunningStack, TestServices

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
ROLES = {"api", "worker", "sandbox", "temporal", "postgres", "redis"}


def get(url: str, key: str) -> Any:
    return httpx.get(url, headers={"Authorization": f"Bearer {key}"}, timeout=30).raise_for_status().json()


def healthy(described: dict[str, Any]) -> bool:
    try:
        get(f"{described['apiUrl']}/health/detailed", described["apiKey"])
    except httpx.HTTPError:
        return False
    return True


@pytest.fixture
def running(services: TestServices) -> Iterator[RunningStack]:
    whole = RunningStack(services.folder / "whole")
    yield whole
    whole.stop()


def test_it_comes_up_survives_the_death_of_each_part_and_leaves_nothing(running: RunningStack, services: TestServices) -> None:
    described = running.ready()
    assert set(described) == KEYS
    assert set(described["pids"]) == ROLES
    assert described["apiUrl"].endswith("/api/v1")
    assert all(described.values())
    identity = get(f"{described['apiUrl']}/me", described["apiKey"])
    assert set(identity["data"]["scopes"]) == {"read", "write", "support"}

    for role in sorted(ROLES):
        pid = running.description()["pids"][role]
        os.kill(pid, signal.SIGKILL)
        assert wait_until(lambda role=role, pid=pid: running.description()["pids"].get(role, pid) != pid, 120), running.output  # type: ignore[misc]
        assert wait_until(lambda: healthy(described), 180), f"after {role}:\n{running.output}"

    processes = descendants(running.process.pid)
    running.process.kill()
    running.process.wait()
    assert gone(processes, within_s=30)

    again = RunningStack(services.folder / "whole")
    try:
        assert again.ready()["apiKey"] == described["apiKey"]
        processes = descendants(again.process.pid)
        assert again.stop() == 0
        assert gone(processes, within_s=10)
    finally:
        again.stop()
