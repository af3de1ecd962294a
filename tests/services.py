"""Real servers for tests, started by the same launchers as `make up`, each only when a test asks for it.

Nothing survives the run: whatever is left when pytest goes, even killed, the sitter stops.
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
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from devstack import choices, ports, postgres, sandbox, service, temporal, valkey
from devstack.failure import NotReadyError
from devstack.sitter import alive
from devstack.sitter_client import Sitter

NAMESPACE = "offerhub"
PREFIX = "offerhub-tests-"
TEMPLATE = "migrated"
POLL_S = 0.01
STACK_READY_S = 240.0
STACK_STOPS_S = 90.0


class TestServices:
    """The session's servers. ``folder`` is in memory where the machine allows it."""

    __test__ = False

    def __init__(self) -> None:
        memory = Path("/dev/shm")  # noqa: S108 our own folder below it
        below = memory if os.access(memory, os.W_OK) else Path(tempfile.gettempdir())
        _remove_leftovers(below)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-", dir=below))
        self.folder.chmod(0o711)
        (self.folder / "logs").mkdir()
        self._sitter = Sitter()
        self._children: list[service.Child] = []

    def start(self, wanted: service.Service) -> service.Child:
        child = service.start(wanted, self.folder / "logs", self._sitter)
        self._children.append(child)
        until = time.monotonic() + wanted.ready_timeout_s
        while True:
            try:
                wanted.probe()
            except NotReadyError as error:
                if child.exit_code() is not None or time.monotonic() > until:
                    raise RuntimeError(f"{wanted.name} {child.ending()}: {error}\n{child.last_words()}") from error
                time.sleep(POLL_S)
            else:
                return child

    def stop(self) -> None:
        """Nothing here is worth a clean end."""
        for child in reversed(self._children):
            if child.exit_code() is None:
                child.process.send_signal(signal.SIGQUIT if child.service.name == "postgres" else signal.SIGKILL)
            child.process.wait()
            self._sitter.forget(child.pid)
        self._sitter.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _remove_leftovers(below: Path) -> None:
    """The folders of runs that were killed; their processes are gone, their files were not."""
    for folder in below.glob(f"{PREFIX}*"):
        pid = folder.name.removeprefix(PREFIX).partition("-")[0]
        if pid.isdigit() and not alive(int(pid)):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class PostgresServer:
    cluster: postgres.Cluster

    @contextmanager
    def database(self, template: str | None = None) -> Iterator[str]:
        """The address of a new database, a copy of ``template`` or empty; dropped afterwards, whoever is still connected."""
        name = f"test_{uuid.uuid4().hex}"
        copied = sql.SQL(" TEMPLATE {} STRATEGY file_copy").format(sql.Identifier(template)) if template else sql.SQL("")
        self._execute(sql.SQL("CREATE DATABASE {}{}").format(sql.Identifier(name), copied))
        try:
            yield self.cluster.url(name)
        finally:
            self._execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))

    def migrate(self) -> str:
        """Make the template by running the migrations as `make up` does; returns its name."""
        self._execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
        environment = {name: value for name, value in os.environ.items() if name != "DIRECT_URL"}
        done = subprocess.run(
            (sys.executable, "-m", "migrations"),
            cwd=choices.CHECKOUT,
            env={**environment, "DATABASE_URL": self.cluster.url(TEMPLATE)},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"migrations failed:\n{done.stdout}{done.stderr}")
        self._execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE true ALLOW_CONNECTIONS false").format(sql.Identifier(TEMPLATE)))
        return TEMPLATE

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(self.cluster.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@dataclass(frozen=True)
class SandboxServer:
    """The running sandbox; ``state`` is its own description, ``environment`` the settings a server needs to use it."""

    url: str
    state: Mapping[str, Any]
    environment: Mapping[str, str]


def start_postgres(services: TestServices) -> PostgresServer:
    cluster = postgres.Cluster(services.folder / "postgres", ports.any_free(), "test", durable=False)
    services.start(postgres.prepare(cluster))
    return PostgresServer(cluster)


def start_valkey(services: TestServices) -> str:
    port = ports.any_free()
    services.start(valkey.prepare(services.folder / "redis", port, durable=False))
    return valkey.url(port)


def start_temporal(services: TestServices, *arguments: str) -> str:
    grpc = ports.any_free()
    http = ports.any_free({grpc})
    metrics = ports.any_free({grpc, http})
    service = temporal.prepare(NAMESPACE, temporal.TemporalPorts(grpc, http, metrics, ui=None), data=None)
    services.start(replace(service, argv=(*service.argv, *arguments)))
    return f"127.0.0.1:{grpc}"


def start_sandbox(services: TestServices, interval_s: str = "0", trustless_requests_per_minute: str = "0") -> SandboxServer:
    """Closes a ledger at once whenever something is queued, and has no request limit, unless told otherwise."""
    port = ports.any_free()
    services.start(sandbox.prepare(services.folder / f"sandbox-{port}", port, interval_s, trustless_requests_per_minute))
    described = sandbox.state(port)
    return SandboxServer(sandbox.url(port), described, sandbox.server_environment(port, described))


class RunningStack:
    """`python -m devstack up` as a user runs it, on free ports and a home of its own."""

    def __init__(self, home: Path, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.home = home
        self._output = home.parent / f"{home.name}.output"
        inherited = {name: value for name, value in os.environ.items() if name not in GIVEN_BY_THE_USER}
        chosen = self._ports() | {"OFFERHUB_HOME": str(home)} | dict(environment or {})
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "devstack", "up", "--stop-with-parent", *arguments),
                cwd=choices.CHECKOUT,
                env={**inherited, **chosen},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text(errors="replace")

    def ready(self, timeout_s: float = STACK_READY_S) -> dict[str, Any]:
        """Wait for `stack.json` and return what it says."""
        until = time.monotonic() + timeout_s
        while time.monotonic() < until:
            if (self.home / "stack.json").exists():
                return self.description()
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.stop()
        raise RuntimeError(f"the stack is not ready:\n{self.output}")

    def description(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.home / "stack.json").read_text())
        return described

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Returns its exit code; harmless when it is gone already."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(STACK_STOPS_S)

    @staticmethod
    def _ports() -> dict[str, str]:
        chosen: set[int] = set()
        for _ in EXPLICIT_PORTS:
            chosen.add(ports.any_free(chosen))
        return dict(zip(EXPLICIT_PORTS, map(str, chosen), strict=True))


EXPLICIT_PORTS = tuple(wanted.variable for wanted in ports.WANTED if wanted.variable)
# A developer's own settings must not decide what a test runs against.
GIVEN_BY_THE_USER = {
    *("DATABASE_URL", "DIRECT_URL", "REDIS_URL", "TEMPORAL_ADDRESS", "TEMPORAL_NAMESPACE", "OFFERHUB_MASTER_KEY"),
    *("WALLET_ENCRYPTION_KEY", "WEBHOOK_ENCRYPTION_KEY"),
    *("STELLAR_NETWORK", "TRUSTLESS_WORK_API_KEY", "HORIZON_URL", "SANDBOX_LEDGER_SECONDS"),
}
