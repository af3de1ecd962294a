"""The real worker as its own process, over real PostgreSQL, Valkey, Temporal and the sandbox network.

Commands are called as the API calls them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.rig import Rig
from tests.services import PostgresServer, SandboxServer


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def rig(
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_server: str,
    temporal_address: str,
    sandbox: SandboxServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Rig]:
    """One installation for the whole folder: each test brings its own users and leaves the worker running."""
    with postgres_server.database(migrated_template) as url:
        rig = Rig(url, redis_server, temporal_address, sandbox, tmp_path_factory.mktemp("rig"))
        try:
            await rig.start_worker()
            yield rig
        finally:
            await rig.close()
