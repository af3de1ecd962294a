"""Many identical requests at once, on several processes, with and without a key; and how long an answer is kept."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest

from activities.housekeeping import FORGOTTEN_AFTER, keep_house_once
from api.app import create_services
from tests.integration.api.conftest import Api, serving, settings
from tests.integration.api.test_operations import NOW, Worker, reserved
from tests.integration.api.test_orders import created, parties, wish

pytestmark = pytest.mark.slow

AT_ONCE = 100
IN_PROGRESS = "IDEMPOTENCY_KEY_IN_PROGRESS"


async def counted(api: Api, table: str) -> int:
    async with api.services.database.engine.connect() as connection:
        return int((await connection.exec_driver_sql(f"SELECT count(*) FROM {table}")).scalar_one())  # noqa: S608


def summary(answers: list[httpx.Response]) -> Counter[tuple[int, str]]:
    return Counter((answer.status_code, answer.json().get("error", {}).get("code", "")) for answer in answers)


async def test_a_hundred_identical_requests_on_two_processes_make_one_order(api: Api, postgres_url: str, redis_url: str) -> None:
    buyer, seller = await parties(api)
    headers = {**api.client.headers, "Idempotency-Key": "order-1"}
    services = create_services(settings(postgres_url, redis_url))
    async with serving(services) as second_url, httpx.AsyncClient(headers=headers, timeout=30, trust_env=False) as client:
        urls = [f"{url}/orders" for url in (api.url, second_url)] * (AT_ONCE // 2)
        answers = await asyncio.gather(*(client.post(url, json=wish(buyer, seller)) for url in urls))
        made = [answer for answer in answers if answer.status_code == 201]
        assert set(summary(list(answers))) <= {(201, ""), (409, IN_PROGRESS)}
        assert sum("idempotent-replayed" not in answer.headers for answer in made) == 1
        assert all(answer.json() == made[0].json() for answer in made)
        later = await asyncio.gather(*(client.post(url, json=wish(buyer, seller)) for url in urls))
        assert all(answer.json() == made[0].json() for answer in later if answer.status_code == 201)
        assert set(summary(list(later))) <= {(201, ""), (409, IN_PROGRESS)}
    assert await counted(api, "orders") == 1
    assert await counted(api, "idempotency_keys") == 1


async def test_a_hundred_reservations_without_a_key_reserve_once(api: Api) -> None:
    buyer, seller = await parties(api)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller)))
    answers = await asyncio.gather(*(api.client.post(f"/orders/{order['id']}/reserve") for _ in range(AT_ONCE)))
    assert summary(list(answers)) == {(200, ""): 1, (409, "FUNDS_ALREADY_RESERVED"): AT_ONCE - 1}
    balance = (await api.client.get(f"/users/{buyer}/balance")).json()
    assert (balance["available"], balance["reserved"]) == ("20.00", "80.00")
    canceled = await asyncio.gather(*(api.client.post(f"/orders/{order['id']}/cancel") for _ in range(AT_ONCE)))
    assert summary(list(canceled)) == {(200, ""): AT_ONCE}
    balance = (await api.client.get(f"/users/{buyer}/balance")).json()
    assert (balance["available"], balance["reserved"]) == ("100.00", "0.00")
    await api.market.assert_books_balance()


async def test_a_hundred_commands_of_the_chain_without_a_key_are_one_operation(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    for path in ("escrow", "escrow/fund", "resolution/release"):
        asked = (api.client.post(f"/orders/{order['id']}/{path}", headers=NOW) for _ in range(AT_ONCE))
        answers = await asyncio.gather(*asked)
        assert summary(list(answers)) == {(202, ""): AT_ONCE}
        [operation] = {answer.json()["operation"]["id"] for answer in answers}
        await worker.finish(operation)
    assert await counted(api, "operations") == 3
    assert (await api.client.get(f"/orders/{order['id']}")).json()["data"]["finalStatus"] == "RELEASED"
    await api.market.assert_books_balance()


async def test_one_key_of_a_hundred_different_requests_belongs_to_the_first(api: Api) -> None:
    buyer, seller = await parties(api)
    headers = {"Idempotency-Key": "order-1"}
    wishes = [wish(buyer, seller, title=f"Logo {number}") for number in range(AT_ONCE)]
    answers = await asyncio.gather(*(api.client.post("/orders", json=one, headers=headers) for one in wishes))
    refusals = {(201, ""), (409, IN_PROGRESS), (409, "IDEMPOTENCY_KEY_REUSED")}
    assert set(summary(list(answers))) <= refusals
    assert summary(list(answers))[201, ""] == 1
    assert await counted(api, "orders") == 1


KEPT: dict[str, tuple[dict[str, str] | None, dict[int, bool]]] = {
    "/users": ({"externalUserId": "u"}, {25: False}),
    "/orders": ({}, {25: True, 8 * 24: False}),
    "/orders/ord_unknown/escrow": (None, {25: True, 8 * 24: False}),
    "/orders/ord_unknown/resolution/release": (None, {25: True, 8 * 24: False}),
    "/disputes/dsp_unknown/resolve": ({"decision": "FULL_RELEASE"}, {25: True, 8 * 24: True, 50 * 365 * 24: True}),
}


@pytest.mark.parametrize("path", KEPT)
async def test_answers_are_kept_as_long_as_promised_and_then_purged(api: Api, path: str) -> None:
    body, later = KEPT[path]
    sent: dict[str, Any] | None = wish(*await parties(api)) if path == "/orders" else body
    async with api.acting(await api.key("*")) as caller:
        headers = {"Idempotency-Key": "kept"}
        first = await caller.post(path, json=sent, headers=headers)
        passed = 0
        for hours, is_kept in later.items():
            await _let_pass(api, hours - passed)
            passed = hours
            await keep_house_once(api.services.database, FORGOTTEN_AFTER)
            assert await counted(api, "idempotency_keys WHERE key = 'kept'") == is_kept, f"after {hours} h"
            again = await caller.post(path, json=sent, headers=headers)
            assert ("idempotent-replayed" in again.headers) == is_kept
            if is_kept:
                assert (again.status_code, again.json()) == (first.status_code, first.json())


async def test_an_expired_answer_is_no_answer_even_before_it_is_purged(api: Api) -> None:
    buyer, seller = await parties(api)
    headers = {"Idempotency-Key": "order-1"}
    first = await api.client.post("/orders", json=wish(buyer, seller), headers=headers)
    await _let_pass(api, 8 * 24)
    second = await api.client.post("/orders", json=wish(buyer, seller, title="Another"), headers=headers)
    assert (second.status_code, second.json()["data"]["id"] != first.json()["data"]["id"]) == (201, True)
    third = await api.client.post("/orders", json=wish(buyer, seller, title="Another"), headers=headers)
    assert (third.json(), third.headers["idempotent-replayed"]) == (second.json(), "true")


async def _let_pass(api: Api, hours: int) -> None:
    """What was kept was kept so much longer ago."""
    statement = """UPDATE idempotency_keys SET created_at = created_at - passed, expires_at = expires_at - passed
                   FROM (SELECT make_interval(hours => %s) AS passed) AS clock"""
    async with api.services.database.engine.begin() as connection:
        await connection.exec_driver_sql(statement, (hours,))
