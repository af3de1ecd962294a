"""The watch over the house rule sees what it is there for: a call to the network while a transaction is open."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from offerhub.storage.unit_of_work import Database
from tests.chaos.cases import CaseFolder
from tests.chaos.worker_with_faults import _WATCHED, _watch_transactions
from tests.e2e.rig import acting


async def test_a_call_inside_a_transaction_is_reported_and_one_after_it_is_not(
    postgres_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for owner, name in (*_WATCHED, (Database, "transaction")):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    folder = CaseFolder(tmp_path)
    _watch_transactions(folder)
    database, redis = Database(postgres_url), Redis.from_url(redis_url)
    async with httpx.AsyncClient(transport=httpx.MockTransport(lambda _: httpx.Response(200))) as client:
        async with database.transaction(acting()):
            pass
        await client.get("http://elsewhere")
        await redis.ping()
        assert folder.violations() == []
        async with database.transaction(acting()):
            await client.get("http://elsewhere")
            await redis.ping()
    await redis.aclose()
    await database.close()
    assert {sentence.split(" ")[0] for sentence in folder.violations()} == {"AsyncClient.send", "Redis.execute_command"}
