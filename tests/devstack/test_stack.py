"""`make up` with its embedded stores and Temporal: what it promises about starting, dying and leaving."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from devstack.sitter import alive
from tests.services import RunningStack, TestServices

pytestmark = pytest.mark.slow

ROLES = {"postgres", "redis", "temporal"}
KEYS = {
    *("apiUrl", "apiKey", "masterKey", "temporalAddress", "temporalNamespace", "temporalUiUrl", "horizonUrl", "trustlessWorkUrl"),
    *("sandboxUrl", "databaseUrl", "redisUrl", "networkPassphrase", "pids"),
}

Start = Callable[..., RunningStack]


@pytest.fixture
def home(services: TestServices, tmp_path: Path) -> Path:
    """Below the session's folder, where PostgreSQL's account can go when we are root."""
    return services.folder / f"home-{tmp_path.name}"


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Start the stores and Temporal in ``home``; whatever still runs at the end is stopped."""
    started: list[RunningStack] = []

    def begin(**environment: str) -> RunningStack:
        started.append(RunningStack(home, "--only", ",".join(sorted(ROLES)), environment=environment))
        return started[-1]

    yield begin
    for running in started:
        running.stop()


def descendants(pid: int) -> set[int]:
    """Every process below ``pid``, as far as /proc tells; the sitter and PostgreSQL's own children among them."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found: set[int] = set()
    while grown := {child for child, parent in parents.items() if parent in {pid, *found}} - found:
        found |= grown
    return found


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return condition()


def gone(pids: set[int], within_s: float) -> bool:
    return wait_until(lambda: not any(alive(pid) for pid in pids), within_s)


def test_a_ready_stack_describes_itself_and_ctrl_c_leaves_nothing(start: Start, home: Path) -> None:
    running = start()
    described = running.ready()
    assert set(described) == KEYS
    assert set(described["pids"]) == ROLES
    assert (home / "stack.json").stat().st_mode & 0o777 == 0o600
    assert (home / "secrets.json").stat().st_mode & 0o777 == 0o600
    with psycopg.connect(described["databaseUrl"]) as connection:
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    processes = descendants(running.process.pid)
    assert set(described["pids"].values()) < processes

    assert running.stop(signal.SIGINT) == 0
    assert not (home / "stack.json").exists()
    assert gone(processes, within_s=10)


def test_sigterm_ends_it_as_well_and_a_second_start_finds_the_data(start: Start) -> None:
    first = start()
    with psycopg.connect(first.ready()["databaseUrl"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    assert first.stop(signal.SIGTERM) == 0

    with psycopg.connect(start().ready()["databaseUrl"]) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_killed_supervisor_leaves_nothing_and_its_data(start: Start) -> None:
    first = start()
    with psycopg.connect(first.ready()["databaseUrl"]) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    processes = descendants(first.process.pid)
    first.process.kill()
    # At once, not after the clean-up: the second start has to wait for it by itself.
    second = start()
    assert gone(processes, within_s=30)
    with psycopg.connect(second.ready()["databaseUrl"]) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_killed_while_starting_it_leaves_nothing(start: Start, home: Path) -> None:
    running = start()
    assert wait_until((home / "logs" / "temporal.log").exists, 120)
    processes = descendants(running.process.pid)
    running.process.kill()
    assert processes
    assert gone(processes, within_s=30)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_a_killed_service_comes_back_and_is_said(start: Start, role: str) -> None:
    running = start()
    pid = running.ready()["pids"][role]
    os.kill(pid, signal.SIGKILL)

    def back() -> bool:
        return "runs again" in running.output and running.description()["pids"].get(role, pid) != pid

    assert wait_until(back, 120), running.output
    assert "killed by SIGKILL; starting it again" in running.output


def test_a_second_instance_on_the_same_home_is_refused_in_one_line(start: Start) -> None:
    first = start()
    first.ready()
    before = len(first.output.splitlines())
    second = start()
    assert second.process.wait(120) == 1
    said = second.output.splitlines()[before:]
    assert len(said) == 1
    assert f"another instance already runs in {second.home} (pid {first.process.pid})" in said[0]
    assert first.description()["pids"].keys() == ROLES


@pytest.mark.parametrize("variable", ["TEMPORAL_PORT", "TEMPORAL_UI_PORT"])
def test_a_taken_port_is_named_with_its_variable(start: Start, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        running = start(**{variable: str(port)})
        assert running.process.wait(120) == 1
    assert running.output.splitlines() == [f"make up: port {port} is taken by another program; {variable} chooses another port"]


def test_a_service_that_cannot_start_ends_the_stack_with_the_cause(start: Start, tmp_path: Path) -> None:
    broken = tmp_path / "valkey-server"
    broken.write_text("#!/bin/sh\necho the reason it cannot run\nexit 3\n")
    broken.chmod(0o755)
    running = start(OFFERHUB_REDIS_BIN=str(broken))
    assert running.process.wait(120) == 1
    assert "redis exited with 3 before" in running.output
    assert "the reason it cannot run" in running.output
    assert not descendants(running.process.pid)


def test_make_killed_takes_the_stack_with_it(services: TestServices, home: Path) -> None:
    """`--stop-with-parent`, which the Makefile gives, notices that nobody is left who would stop it."""
    output = home.parent / f"{home.name}.output"
    parent = os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", f'"$0" -m devstack up --stop-with-parent --only redis >{output} 2>&1; true', sys.executable],
        {**os.environ, "OFFERHUB_HOME": str(home)},
    )
    assert wait_until((home / "stack.json").exists, 120)
    processes = descendants(parent)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    assert gone(processes, within_s=30)
    assert not (home / "stack.json").exists()


def test_the_ports_of_the_last_run_are_used_again(start: Start, home: Path) -> None:
    first = start()
    described = first.ready()
    first.stop()
    again = start().ready()
    assert {key: again[key] for key in ("databaseUrl", "redisUrl")} == {key: described[key] for key in ("databaseUrl", "redisUrl")}
    assert json.loads((home / "ports.json").read_text())["redis"] == int(described["redisUrl"].rpartition(":")[2].partition("/")[0])
