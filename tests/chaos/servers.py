"""A stack of servers that may be killed: each keeps its data on disk and comes back on the port it had."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from devstack import ports, postgres, sandbox, temporal, valkey
from devstack.service import Child, Service
from tests.services import NAMESPACE, PostgresServer, SandboxServer, TestServices

RETURNS_S = 120.0


@dataclass
class KillableServers:
    services: TestServices
    postgres: PostgresServer
    redis_url: str
    temporal_address: str
    sandbox: SandboxServer
    _prepared: dict[str, Service] = field(default_factory=dict)
    _running: dict[str, Child] = field(default_factory=dict)

    @classmethod
    def start(cls, services: TestServices) -> KillableServers:
        home = services.folder / "killable"
        home.mkdir()
        home.chmod(0o711)
        taken: list[int] = [ports.any_free() for _ in range(6)]
        cluster = postgres.Cluster(home / "postgres", taken[0], "test")
        prepared = {
            "postgres": postgres.prepare(cluster),
            "redis": valkey.prepare(home / "redis", taken[1]),
            "temporal": temporal.prepare(NAMESPACE, temporal.TemporalPorts(taken[2], taken[3], taken[4], ui=None), home / "temporal"),
            "sandbox": sandbox.prepare(home / "sandbox", taken[5], "0", "0"),
        }
        running = {name: services.start(service) for name, service in prepared.items()}
        described = sandbox.state(taken[5])
        network = SandboxServer(sandbox.url(taken[5]), described, sandbox.server_environment(taken[5], described))
        return cls(services, PostgresServer(cluster), valkey.url(taken[1]), f"127.0.0.1:{taken[2]}", network, prepared, running)

    @property
    def names(self) -> list[str]:
        return list(self._running)

    def kill(self, name: str) -> None:
        self._running[name].process.kill()
        self._running[name].process.wait()

    def start_again(self, name: str) -> None:
        """PostgreSQL refuses for a moment while the children of the killed one are still leaving."""
        until = time.monotonic() + RETURNS_S
        while True:
            try:
                self._running[name] = self.services.start(self._prepared[name])
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
            else:
                return
