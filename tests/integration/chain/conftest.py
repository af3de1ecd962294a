from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from offerhub.storage.unit_of_work import Database
from tests.integration.chain.town import Town
from tests.services import SandboxServer


@pytest.fixture
async def town(postgres_url: str, sandbox: SandboxServer) -> AsyncIterator[Town]:
    database = Database(postgres_url)
    async with Town.open(database, sandbox) as opened:
        yield opened
    await database.close()
