"""One answer per idempotency key, kept by the database itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from offerhub.domain.context import Context
from offerhub.storage import audit, idempotency
from offerhub.storage.audit import AuditFilter
from offerhub.storage.unit_of_work import AnswerStoredError, StoredAnswer
from tests.integration.commands.market import Market

CONTEXT = Context("key_x", "req_x")
ANSWER = StoredAnswer("key_x", "k", "POST", "/x", "hash", 200, {"body": {"number": 1}, "location": None}, None, hours=1)


async def store(market: Market, answer: StoredAnswer, later: timedelta = timedelta()) -> None:
    async with market.database.transaction(CONTEXT) as transaction:
        transaction.now += later
        transaction.audit("thing.done", ("thing", "x"), None, None)
        transaction.store_answer(answer)


async def test_a_second_answer_takes_its_work_with_it_until_the_first_has_expired(market: Market) -> None:
    await store(market, ANSWER)
    with pytest.raises(AnswerStoredError):
        await store(market, replace(ANSWER, response={"body": {"number": 2}, "location": None}))
    async with market.database.transaction(CONTEXT) as transaction:
        assert len(await audit.page(transaction, AuditFilter(resource_id="x"), None, 9)) == 1
        kept = await idempotency.claim(transaction, "key_x", "k")
        assert kept is not None
        assert kept.response["body"] == {"number": 1}
        transaction.now += timedelta(hours=2)
        assert await idempotency.claim(transaction, "key_x", "k") is None
    await store(market, replace(ANSWER, status=201), later=timedelta(hours=2))
    async with market.database.transaction(CONTEXT) as transaction:
        replaced = await idempotency.claim(transaction, "key_x", "k")
    assert replaced is not None
    assert replaced.status == 201


async def test_a_key_that_somebody_holds_is_not_waited_for(market: Market) -> None:
    async with market.database.transaction(CONTEXT) as holder, market.database.transaction(CONTEXT) as other:
        assert await idempotency.claim(holder, "key_x", "k") is None
        with pytest.raises(idempotency.KeyInUseError):
            await idempotency.claim(other, "key_x", "k")
