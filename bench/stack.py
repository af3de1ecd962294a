"""A stack to measure: one given by its `stack.json`, or one of our own on free ports, in a folder that goes with it.

Ours closes a ledger as soon as a transaction is queued and limits no requests, so that what is measured is this software and not
the waiting for a ledger. PostgreSQL, Redis and Temporal run as `make up` runs them, with their usual durability.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.failure import BenchFailure
from bench.machine import CHECKOUT
from devstack.ports import WANTED, any_free

READY_LIMIT_S = 180
STOP_LIMIT_S = 60
# The user's own environment may override these, except for what would point the load at his data.
CONDITIONS = {
    "SANDBOX_LEDGER_SECONDS": "0",
    "SANDBOX_TRUSTLESS_REQUESTS_PER_MINUTE": "0",
    "TRUSTLESS_WORK_REQUESTS_PER_MINUTE": "0",
    "WALLET_STOCK": "38",
    "LOG_LEVEL": "WARNING",
}
NEVER_INHERITED = {"DATABASE_URL", "DIRECT_URL", "REDIS_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "STELLAR_NETWORK", "HORIZON_URL"}


@dataclass(frozen=True)
class Stack:
    """``conditions`` is what it was started with, empty if somebody else started it."""

    api_url: str
    api_key: str
    database_url: str
    redis_url: str
    sandbox_url: str
    temporal_address: str
    temporal_namespace: str
    pids: Mapping[str, int]
    conditions: Mapping[str, str]
    description: Path

    def as_described_now(self) -> Stack:
        """A service that was started again has another process id."""
        return _read(self.description, self.conditions)


def given(path: Path) -> Stack:
    return _read(path, {})


def conditions() -> dict[str, str]:
    """What a stack of our own runs with."""
    return {name: os.environ.get(name, value) for name, value in CONDITIONS.items()}


@contextmanager
def own(settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """``settings`` come on top of the conditions."""
    # Short and directly below the system's temporary folder: sockets have paths of limited length.
    home = Path(tempfile.mkdtemp(prefix="offerhub-bench-"))
    chosen = conditions() | dict(settings or {})
    environment = {name: value for name, value in os.environ.items() if name not in NEVER_INHERITED}
    environment |= chosen | _ports() | {"OFFERHUB_HOME": str(home)}
    output = home.with_name(f"{home.name}.output")
    with output.open("wb") as written:
        process = subprocess.Popen(
            (sys.executable, "-m", "devstack", "up", "--stop-with-parent"),
            cwd=CHECKOUT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=written,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _until_ready(process, home / "stack.json", output)
        yield _read(home / "stack.json", chosen)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(STOP_LIMIT_S)
        subprocess.run((sys.executable, "-m", "devstack", "reset"), cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL, check=False)
        shutil.rmtree(home, ignore_errors=True)
        output.unlink(missing_ok=True)


def _until_ready(process: subprocess.Popen[bytes], description: Path, output: Path) -> None:
    until = time.monotonic() + READY_LIMIT_S
    while not description.exists():
        if process.poll() is not None or time.monotonic() > until:
            raise BenchFailure(f"the stack did not come up:\n{output.read_text(errors='replace')[-4_000:]}")
        time.sleep(0.1)


def _read(path: Path, chosen: Mapping[str, str]) -> Stack:
    described: dict[str, Any] = json.loads(path.read_text())
    if not described.get("sandboxUrl"):
        raise BenchFailure(f"{path} describes no sandbox; the load is never sent to a real network")
    return Stack(
        api_url=described["apiUrl"],
        api_key=described["apiKey"],
        database_url=described["databaseUrl"],
        redis_url=described["redisUrl"],
        sandbox_url=described["sandboxUrl"],
        temporal_address=described["temporalAddress"],
        temporal_namespace=described["temporalNamespace"],
        pids=described["pids"],
        conditions=chosen,
        description=path,
    )


def _ports() -> dict[str, str]:
    chosen: dict[str, int] = {}
    for variable in (wanted.variable for wanted in WANTED if wanted.variable):
        chosen[variable] = any_free(frozenset(chosen.values()))
    return {variable: str(port) for variable, port in chosen.items()}
