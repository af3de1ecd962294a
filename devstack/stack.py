"""The order in which the parts come up, and what is said about them."""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from typing import Any

from devstack import postgres, sandbox, server, temporal, valkey
from devstack.choices import CHECKOUT, PUBLIC_NETWORKS, Choices
from devstack.console import Console
from devstack.given import require_given_servers
from devstack.home import Home, write_private
from devstack.supervisor import Supervisor


@dataclass
class Addresses:
    """Where each part is, ours or given; None where there is none."""

    api: str | None = None
    database: str | None = None
    redis: str | None = None
    temporal: str | None = None
    temporal_ui: str | None = None
    horizon: str | None = None
    trustless_work: str | None = None
    sandbox: str | None = None
    network_passphrase: str | None = None
    network_environment: dict[str, str] = field(default_factory=dict)


class Stack:
    def __init__(self, choices: Choices, home: Home, ports: dict[str, int], supervisor: Supervisor, console: Console) -> None:
        self._choices = choices
        self._home = home
        self._ports = ports
        self._supervisor = supervisor
        self._console = console
        self._secrets = home.secrets()
        self._master_key = choices.given("OFFERHUB_MASTER_KEY") or self._secrets["masterKey"]
        self._namespace = choices.given("TEMPORAL_NAMESPACE") or "offerhub"
        self._api_key: str | None = None
        self._at = self._given_addresses()

    async def bring_up(self) -> None:
        """Everything, in order; returns once a first request would succeed."""
        await asyncio.to_thread(require_given_servers, self._choices)
        async with asyncio.TaskGroup() as parts:
            parts.create_task(self._database())
            if "redis" in self._choices.embedded:
                parts.create_task(self._redis())
            if "temporal" in self._choices.embedded:
                parts.create_task(self._temporal())
            if "sandbox" in self._choices.embedded:
                parts.create_task(self._sandbox())
        if self._choices.servers:
            await self._servers()
        self._supervisor.settle()
        self._supervisor.on_restart = self._describe_again
        self.write_description()
        self._greet()

    def write_description(self) -> None:
        """`stack.json`: everything a program needs to use this stack."""
        at = self._at
        write_private(
            self._home.stack_file,
            {
                "apiUrl": at.api,
                "apiKey": self._api_key,
                "masterKey": self._master_key,
                "temporalAddress": at.temporal,
                "temporalNamespace": self._namespace,
                "temporalUiUrl": at.temporal_ui,
                "horizonUrl": at.horizon,
                "trustlessWorkUrl": at.trustless_work,
                "sandboxUrl": at.sandbox,
                "databaseUrl": at.database,
                "redisUrl": at.redis,
                "networkPassphrase": at.network_passphrase,
                "pids": self._supervisor.pids,
            },
        )

    def _describe_again(self) -> None:
        """With the new process ids. A full disk is no reason to leave the restarted service alone."""
        try:
            self.write_description()
        except OSError as error:
            self._console.say("stack", f"cannot write {self._home.stack_file}: {error.strerror}")

    def _given_addresses(self) -> Addresses:
        given = self._choices.given
        at = Addresses(database=given("DATABASE_URL"), redis=given("REDIS_URL"), temporal=given("TEMPORAL_ADDRESS"))
        if at.temporal:
            at.temporal_ui = given("TEMPORAL_UI_URL")
        if network := PUBLIC_NETWORKS.get(self._choices.network):
            at.horizon = given("HORIZON_URL") or network.horizon_url
            at.trustless_work = given("TRUSTLESS_WORK_URL") or network.trustless_work_url
            at.network_passphrase = network.passphrase
        return at

    async def _database(self) -> None:
        if "postgres" in self._choices.embedded:
            cluster = postgres.Cluster(self._home.path / "postgres", self._ports["postgres"], self._secrets["postgresPassword"])
            await self._supervisor.bring_up(await asyncio.to_thread(postgres.prepare, cluster))
            await asyncio.to_thread(postgres.create_database, cluster)
            self._at.database = cluster.url()
        if self._choices.servers:
            environment = server.without_custody(self._server_environment())
            await self._supervisor.run_to_end("migrations", server.MIGRATIONS, environment, CHECKOUT)

    async def _redis(self) -> None:
        await self._supervisor.bring_up(valkey.prepare(self._home.path / "redis", self._ports["redis"]))
        self._at.redis = valkey.url(self._ports["redis"])

    async def _temporal(self) -> None:
        ports = temporal.TemporalPorts(
            self._ports["temporal"], self._ports["temporalHttp"], self._ports["temporalMetrics"], self._ports["temporalUi"]
        )
        await self._supervisor.bring_up(temporal.prepare(self._namespace, ports, self._home.path / "temporal"))
        self._at.temporal = f"127.0.0.1:{ports.grpc}"
        self._at.temporal_ui = f"http://127.0.0.1:{ports.ui}"

    async def _sandbox(self) -> None:
        port, given = self._ports["sandbox"], self._choices.given
        service = sandbox.prepare(
            self._home.path / "sandbox", port, given("SANDBOX_LEDGER_SECONDS"), given("SANDBOX_TRUSTLESS_REQUESTS_PER_MINUTE")
        )
        await self._supervisor.bring_up(service)
        environment = sandbox.server_environment(port, await asyncio.to_thread(sandbox.state, port))
        at = self._at
        at.network_environment = environment
        at.sandbox, at.horizon, at.trustless_work = sandbox.url(port), environment["HORIZON_URL"], environment["TRUSTLESS_WORK_URL"]
        at.network_passphrase = environment["NETWORK_PASSPHRASE"]

    async def _servers(self) -> None:
        api_url = f"http://127.0.0.1:{self._ports['api']}/api/v1"
        environment = self._server_environment()
        async with asyncio.TaskGroup() as servers:
            servers.create_task(self._supervisor.bring_up(server.worker(environment)))
            servers.create_task(self._supervisor.bring_up(server.api(environment, api_url)))
        known = self._secrets.get("apiKey")
        self._api_key = await asyncio.to_thread(server.working_key, api_url, self._master_key, known)
        if self._api_key != known:
            self._home.remember_secret("apiKey", self._api_key)
        self._at.api = api_url

    def _server_environment(self) -> dict[str, str]:
        """The user's own environment, then what only we can know."""
        at = self._at
        known = {
            "DATABASE_URL": at.database,
            "REDIS_URL": at.redis,
            "TEMPORAL_ADDRESS": at.temporal,
            "TEMPORAL_NAMESPACE": self._namespace,
            "HOST": "127.0.0.1",
            "PORT": str(self._ports["api"]),
            "OFFERHUB_MASTER_KEY": self._master_key,
            "WEBHOOK_ENCRYPTION_KEY": self._choices.given("WEBHOOK_ENCRYPTION_KEY") or self._secrets["webhookEncryptionKey"],
            "PYTHONUNBUFFERED": "1",
            **at.network_environment,
        }
        custody = (
            {}
            if any(map(self._choices.given, server.CUSTODY_VARIABLES))
            else {"WALLET_ENCRYPTION_KEY": self._secrets["walletEncryptionKey"]}
        )
        return {**os.environ, **custody, **{name: value for name, value in known.items() if value is not None}}

    def _greet(self) -> None:
        at, say = self._at, self._console.plain
        say(f"\nReady after {self._console.elapsed_s:.1f} s.\n")
        shown: dict[str, Any] = {
            "API": at.api,
            "API docs": at.api and f"{at.api}/docs",
            "Temporal UI": at.temporal_ui and f"{at.temporal_ui}/namespaces/{self._namespace}/workflows",
            "Sandbox": at.sandbox,
            "Logs": self._home.logs,
            "stack.json": self._home.stack_file,
        }
        for name, value in shown.items():
            if value:
                say(f"  {name:<12} {value}")
        if at.api:
            say("\nA first request:\n")
            say(f"  curl -s {at.api}/users -H 'Authorization: Bearer {self._api_key}' -H 'Content-Type: application/json' \\")
            say('    -d \'{"externalUserId": "buyer-1", "type": "BUYER"}\'')
        say("\nCtrl-C stops everything; the state stays.\n")
