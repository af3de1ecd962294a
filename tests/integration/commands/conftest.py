from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.integration.commands.market import Market
from tests.integration.commands.watched import WatchedDatabase


@pytest.fixture
async def market(postgres_url: str) -> AsyncIterator[Market]:
    database = WatchedDatabase(postgres_url)
    opened = Market(database)
    await opened.open()
    yield opened
    await opened.assert_books_balance()
    assert database.silent == [], "changes without an audit entry"
    await database.close()
