"""Session services and what each test gets of them. Every service starts when the first test asks for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings

from tests.services import (
    PostgresServer,
    RunningStack,
    SandboxServer,
    TestServices,
    start_postgres,
    start_sandbox,
    start_temporal,
    start_valkey,
)

# How long an example takes says something about the machine, not about the code; and the same code is asked the same everywhere.
# `make chaos` asks what nobody has asked yet.
settings.register_profile("everyday", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("search", settings.get_profile("everyday"), derandomize=False, max_examples=1_000)
settings.load_profile("everyday")


@pytest.fixture(scope="session")
def services() -> Iterator[TestServices]:
    running = TestServices()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def postgres_server(services: TestServices) -> PostgresServer:
    return start_postgres(services)


@pytest.fixture(scope="session")
def migrated_template(postgres_server: PostgresServer) -> str:
    return postgres_server.migrate()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, migrated_template: str) -> Iterator[str]:
    """A migrated database that no other test has seen."""
    with postgres_server.database(migrated_template) as url:
        yield url


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    with postgres_server.database() as url:
        yield url


@pytest.fixture(scope="session")
def redis_server(services: TestServices) -> str:
    return start_valkey(services)


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """An empty Redis."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def temporal_address(services: TestServices) -> str:
    """The real development server, namespace ``offerhub``, search attributes registered. Use task queues of your own."""
    return start_temporal(services)


@pytest.fixture(scope="session")
def sandbox(services: TestServices) -> SandboxServer:
    """A sandbox network shared by the session, closing a ledger as soon as a transaction is queued."""
    return start_sandbox(services)


@pytest.fixture(scope="session")
def stack(services: TestServices) -> Iterator[dict[str, Any]]:
    """The whole stack as a user runs it, shared by the session: what its `stack.json` says."""
    running = RunningStack(services.folder / "stack")
    try:
        yield running.ready()
    finally:
        running.stop()
