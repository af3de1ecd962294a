"""What is known of a service before it runs, and the one way to start it."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path

from devstack.account import Account
from devstack.sitter_client import Sitter

# The child waits for one line before it becomes the service. Its parent sends it after telling the sitter, so that there is no
# moment at which a killed parent leaves a child nobody knows: without the line the child sees end-of-file and goes.
GATE = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null')

CAUSE_LINES = 15
LOG_KEPT_BYTES = 16 * 1024 * 1024


class Tier(IntEnum):
    """Stopped in descending order, all of a tier together."""

    STORE = 0
    NETWORK = 1
    SERVER = 2


def always_ready() -> None:
    """The probe of a service whose readiness shows elsewhere."""


@dataclass(frozen=True)
class Service:
    """``probe`` returns when the service answers and raises ``NotReadyError`` saying what is missing."""

    name: str
    argv: tuple[str, ...]
    tier: Tier
    env: Mapping[str, str]
    cwd: Path = Path("/")
    probe: Callable[[], None] = always_ready
    shown_as: str = ""
    account: Account | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 8.0
    ready_timeout_s: float = 60.0


@dataclass(frozen=True)
class Child:
    """A started service. It leads its own session, so that a Ctrl-C at the terminal reaches the supervisor only."""

    service: Service
    process: subprocess.Popen[bytes] = field(repr=False)
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def exit_code(self) -> int | None:
        return self.process.poll()

    def ending(self) -> str:
        """How it ended, in words."""
        code = self.exit_code()
        if code is None:
            return "still runs"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        return f"exited with {code}"

    def last_words(self) -> str:
        """The end of its log: the cause, when it failed."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-CAUSE_LINES:])


def start(service: Service, logs: Path, sitter: Sitter) -> Child:
    """Start ``service`` with its output appended to ``logs/<name>.log``, known to the sitter before its first instruction."""
    log = logs / f"{service.name}.log"
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".log.1"))
    account = service.account
    with log.open("ab") as output:
        process = subprocess.Popen(
            (*GATE, service.name, *service.argv),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(service.env),
            cwd=service.cwd,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
    sitter.watch(process.pid, service.tier, service.stop_signal)
    assert process.stdin is not None
    try:
        process.stdin.write(b"go\n")
        process.stdin.close()
    except BrokenPipeError:
        pass  # killed before it began: its exit code says so
    return Child(service, process, log)
