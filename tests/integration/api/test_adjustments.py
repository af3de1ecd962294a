"""Corrections by hand: off by default, two-sided, never below zero, once per key, on record."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from api.schemas.adjustments import Adjustment
from api.schemas.answers import One
from offerhub.domain.ledger import WORLD_STELLAR
from offerhub.storage import audit
from offerhub.storage.audit import AuditFilter
from tests.integration.api.conftest import MASTER, Api, opened
from tests.integration.api.test_orders import UNIT

HASH = "ab" * 32


@pytest.fixture
async def adjustable(postgres_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with opened(postgres_url, redis_url, ledger_adjustments_enabled=True) as api:
        yield api


def wish(user_id: str, **more: Any) -> dict[str, Any]:
    return {"userId": user_id, "direction": "CREDIT", "amount": "7.50", "reason": "missed payment", "evidence": "fnd_1", **more}


async def asked(api: Api, body: dict[str, Any], key: str | None = "k-1") -> httpx.Response:
    async with api.acting(MASTER) as master:
        return await master.post("/ledger/adjustments", json=body, headers={"Idempotency-Key": key} if key else {})


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


@pytest.mark.usefixtures("relay")
async def test_a_credit_and_a_debit_are_two_sided_told_and_kept(adjustable: Api) -> None:
    api = adjustable
    user = await api.market.user(10 * UNIT)
    outside = await api.market.account(WORLD_STELLAR)
    credit = await asked(api, wish(user.id, transactionHash=HASH))
    One[Adjustment].model_validate_json(credit.content, by_name=False, by_alias=True)
    assert (credit.status_code, credit.json()["data"]["balance"]["available"]) == (201, "17.50")
    assert (await asked(api, wish(user.id, transactionHash=HASH))).json() == credit.json(), "once per key"
    assert credit.headers["location"] == f"/api/v1/users/{user.id}/statement"
    assert await api.market.account(WORLD_STELLAR) == outside - 75_000_000
    debit = await asked(api, wish(user.id, direction="DEBIT", amount="17.50"), "k-2")
    assert (debit.status_code, debit.json()["data"]["balance"]["available"]) == (201, "0.00")
    assert await api.market.account(WORLD_STELLAR) == outside + 10 * UNIT
    await api.market.assert_books_balance()
    filters = {"types": "balance.*", "userId": user.id, "limit": "100"}
    told = (await api.client.get("/events", params=filters, headers={"Accept": "application/json"})).json()["data"]
    changes = [(one["eventType"], one["payload"]["source"], one["payload"]["amount"]) for one in told][-2:]
    assert changes == [("balance.credited", "manual_credit", "7.50"), ("balance.debited", "manual_debit", "17.50")]
    assert told[-2]["payload"]["transactionHash"] == HASH
    async with api.services.database.reading() as reader:
        entries = await audit.page(reader, AuditFilter(action="ledger.adjusted", user_id=user.id), None, 10)
    assert [entry.actor_id for entry in entries] == ["master", "master"]
    assert entries[1].before == {"available": "10.00"}
    kept = {"available": "17.50", "reason": "missed payment", "evidence": "fnd_1", "transactionHash": HASH}
    assert entries[1].after == {"userId": user.id, **kept}
    statement = await api.client.get(f"/users/{user.id}/statement")
    assert statement.status_code == 200, statement.text
    assert statement.json()["data"]["closing"]["available"] == "0.00"


async def test_what_it_refuses(adjustable: Api) -> None:
    user = await adjustable.market.user(UNIT)
    assert refusal(await asked(adjustable, wish(user.id, direction="DEBIT", amount="1.0000001"))) == (422, "INSUFFICIENT_FUNDS")
    assert refusal(await asked(adjustable, wish("usr_none"), "k-2")) == (404, "USER_NOT_FOUND")
    assert refusal(await asked(adjustable, wish(user.id), None)) == (400, "VALIDATION_ERROR")
    for wrong in ({"amount": "0.00"}, {"amount": "-1.00"}):
        assert refusal(await asked(adjustable, wish(user.id, **wrong), "k-3")) == (400, "INVALID_AMOUNT_FORMAT"), wrong
    for nonsense in ({"reason": " "}, {"evidence": ""}, {"direction": "UP"}, {"transactionHash": "x"}, {"reason": None}):
        assert refusal(await asked(adjustable, wish(user.id, **nonsense), "k-4")) == (400, "VALIDATION_ERROR"), nonsense
    answer = await adjustable.client.post("/ledger/adjustments", json=wish(user.id), headers={"Idempotency-Key": "k"})
    assert refusal(answer) == (403, "INSUFFICIENT_SCOPE")
    assert await adjustable.market.balance(user) == (UNIT, 0, 0)


async def test_it_is_off_unless_enabled(api: Api) -> None:
    user = await api.market.user()
    assert refusal(await asked(api, wish(user.id))) == (404, "NOT_FOUND")
    assert await api.market.balance(user) == (0, 0, 0)
