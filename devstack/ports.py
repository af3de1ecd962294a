"""Which port each service listens on: the one asked for, last run's, the usual one, or any free one."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.choices import Choices
from devstack.failure import StackError


@dataclass(frozen=True)
class Wanted:
    """A port of ``role``. ``variable`` lets the user insist on one; ``usual`` None means that nobody expects a particular one."""

    name: str
    role: str
    usual: int | None = None
    variable: str | None = None


WANTED = (
    Wanted("api", "api", 4000, "PORT"),
    Wanted("sandbox", "sandbox", 4010, "SANDBOX_PORT"),
    Wanted("temporal", "temporal", 7233, "TEMPORAL_PORT"),
    Wanted("temporalUi", "temporal", 8233, "TEMPORAL_UI_PORT"),
    Wanted("temporalHttp", "temporal"),
    Wanted("temporalMetrics", "temporal"),
    Wanted("postgres", "postgres"),
    Wanted("redis", "redis"),
)


def choose(choices: Choices, remembered: Mapping[str, int], say: Callable[[str], None]) -> dict[str, int]:
    """A port for each service that will run, all different. A port the user asked for is his or nobody's."""
    started = choices.embedded | ({"api"} if choices.servers else set())
    needed = [wanted for wanted in WANTED if wanted.role in started]
    asked = {wanted.name: _asked(wanted, choices.environment) for wanted in needed}
    chosen: dict[str, int] = {name: port for name, port in asked.items() if port is not None}
    if len(set(chosen.values())) < len(chosen):
        raise StackError("two services were given the same port; give each its own")
    for wanted in needed:
        if wanted.name not in chosen:
            chosen[wanted.name] = _preferred(wanted, remembered.get(wanted.name), set(chosen.values()), say)
        elif not _claim(chosen[wanted.name]):
            raise StackError(f"port {chosen[wanted.name]} is taken by another program; {wanted.variable} chooses another port")
    return chosen


def _preferred(wanted: Wanted, last: int | None, taken: set[int], say: Callable[[str], None]) -> int:
    """Last run's, else the usual one, else any; said when it is not the one the user will look for."""
    candidates = [port for port in (last, wanted.usual) if port is not None and port not in taken]
    port = next((candidate for candidate in candidates if _claim(candidate)), None) or _any_claimed(taken)
    if candidates and wanted.usual is not None and port != candidates[0]:
        say(f"port {candidates[0]} is taken; {wanted.name} uses {port}")
    return port


def is_free(port: int) -> bool:
    """Neither bound nor answering. Both are asked: some systems let a second server bind beside a wildcard one."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


# Held open, and with them the claims, until this process ends.
_claims: dict[int, int] = {}


def _claim(port: int) -> bool:
    """Free, and not chosen a moment ago by another stack of this user that has not bound it yet."""
    if not is_free(port):
        return False
    folder = Path(tempfile.gettempdir()) / f"offerhub-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(folder / str(port), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return False
    _claims[port] = descriptor
    return True


def _any_claimed(taken: set[int]) -> int:
    while not _claim(port := any_free(taken)):
        pass
    return port


def any_free(taken: set[int] | frozenset[int] = frozenset()) -> int:
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port not in taken:
            return port


def _asked(wanted: Wanted, environment: Mapping[str, str]) -> int | None:
    text = environment.get(wanted.variable or "", "")
    if not text:
        return None
    if not text.isdigit() or not 0 < int(text) < 65536:
        raise StackError(f"{wanted.variable}={text} is not a port")
    return int(text)
