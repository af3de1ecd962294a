"""Installations of their own on shared servers, and a sandbox whose faults disturb nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from tests.chaos.cases import Policy
from tests.chaos.installation import Installation
from tests.services import PostgresServer, SandboxServer, TestServices, start_sandbox, start_valkey

Install = Callable[[], Installation]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of `make chaos`: how many cases the tests have made of the code."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{report.nodeid}: {value} {name}")


@pytest.fixture(scope="session")
def hostile_sandbox(services: TestServices) -> SandboxServer:
    return start_sandbox(services)


@pytest.fixture(scope="session")
def install(
    postgres_server: PostgresServer,
    migrated_template: str,
    services: TestServices,
    temporal_address: str,
    hostile_sandbox: SandboxServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Install]:
    """Makes installations that know nothing of each other: a database, a Redis and a Temporal namespace for each."""
    with ExitStack() as opened:

        def make() -> Installation:
            url = opened.enter_context(postgres_server.database(migrated_template))
            return Installation(url, start_valkey(services), temporal_address, hostile_sandbox, tmp_path_factory.mktemp("installation"))

        yield make


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared(install: Install) -> AsyncIterator[Installation]:
    """One installation for all tests that need none of their own; nobody sabotages its activities, only its network."""
    async with install().running() as installation:
        yield installation


@pytest_asyncio.fixture(loop_scope="session")
async def attacked(shared: Installation) -> AsyncIterator[Installation]:
    """The shared one, as good as new: with no fault in force, before and after."""
    shared.parties.clear()
    shared.began = datetime.now(UTC)
    shared.cases.set_policy(Policy(()))
    shared.cases.forget()
    yield shared
    shared.cases.set_policy(Policy(()))
    shared.cases.let_go()
    await shared.heal()
