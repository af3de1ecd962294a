from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from offerhub.storage.unit_of_work import Database
from tests.integration.commands.market import Market


@pytest.fixture
async def market(postgres_url: str) -> AsyncIterator[Market]:
    database = Database(postgres_url)
    opened = Market(database)
    await opened.open()
    yield opened
    await opened.assert_books_balance()
    await database.close()
