"""Installations of their own on shared servers, and a sandbox whose faults disturb nobody else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.chaos.installation import Installation
from tests.services import PostgresServer, SandboxServer, TestServices, start_sandbox

Install = Callable[[], Installation]


@pytest.fixture(scope="session")
def hostile_sandbox(services: TestServices) -> SandboxServer:
    return start_sandbox(services)


@pytest.fixture
def install(
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_url: str,
    temporal_address: str,
    hostile_sandbox: SandboxServer,
    tmp_path: Path,
) -> Iterator[Install]:
    """Makes installations that know nothing of each other: a database and a Temporal namespace for each."""
    with ExitStack() as opened:

        def make() -> Installation:
            url = opened.enter_context(postgres_server.database(migrated_template))
            folder = tmp_path / f"installation-{url[-6:]}"
            folder.mkdir()
            return Installation(url, redis_url, temporal_address, hostile_sandbox, folder)

        yield make
