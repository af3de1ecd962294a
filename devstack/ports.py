"""Which port each service listens on: the one asked for, last run's, the usual one, or any free one."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from devstack.failure import StackError


@dataclass(frozen=True)
class Wanted:
    """``variable`` lets the user insist on a port; ``usual`` None means that nobody expects a particular one."""

    name: str
    usual: int | None = None
    variable: str | None = None


WANTED = (
    Wanted("api", 4000, "PORT"),
    Wanted("sandbox", 4010, "SANDBOX_PORT"),
    Wanted("temporal", 7233, "TEMPORAL_PORT"),
    Wanted("temporalUi", 8233, "TEMPORAL_UI_PORT"),
    Wanted("temporalHttp"),
    Wanted("temporalMetrics"),
    Wanted("postgres"),
    Wanted("redis"),
)


def choose(environment: Mapping[str, str], remembered: Mapping[str, int], say: Callable[[str], None]) -> dict[str, int]:
    """A port for each service, all different. A port the user asked for is his or nobody's."""
    asked = {wanted.name: _asked(wanted, environment) for wanted in WANTED}
    chosen: dict[str, int] = {name: port for name, port in asked.items() if port is not None}
    if len(set(chosen.values())) < len(chosen):
        raise StackError("two services were given the same port; give each its own")
    for wanted in WANTED:
        if wanted.name in chosen:
            if not _claim(chosen[wanted.name]):
                raise StackError(f"port {chosen[wanted.name]} is taken by another program; {wanted.variable} chooses another port")
            continue
        taken = set(chosen.values())
        candidates = [port for port in (remembered.get(wanted.name), wanted.usual) if port is not None and port not in taken]
        chosen[wanted.name] = next((port for port in candidates if _claim(port)), None) or _claim_any(taken)
        if wanted.usual is not None and chosen[wanted.name] != wanted.usual and wanted.name not in remembered:
            say(f"port {wanted.usual} is taken; {wanted.name} uses {chosen[wanted.name]}")
    return chosen


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


def _claim_any(taken: set[int]) -> int:
    while not _claim(port := any_free(taken)):
        taken = {*taken, port}
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
