"""The real worker as its own process, over real PostgreSQL, Valkey, Temporal and the sandbox network; commands are called as the API does."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.e2e.rig import Rig
from tests.services import SandboxServer


@pytest.fixture
async def rig(postgres_url: str, redis_url: str, temporal_address: str, sandbox: SandboxServer, tmp_path) -> AsyncIterator[Rig]:
    rig = Rig(postgres_url, redis_url, temporal_address, sandbox, tmp_path)
    try:
        await rig.start_worker()
        yield rig
    finally:
        await rig.close()
