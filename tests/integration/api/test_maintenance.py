"""The drain: declared on routes, in force everywhere within a second, in nobody's way otherwise."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import httpx
import pytest

from api.app import _RESOURCES, create_services
from api.routing import Declared
from api.schemas.instance import Config, DetailedHealth
from api.schemas.maintenance import Maintenance
from tests.integration.api.conftest import MASTER, Api, serving, settings
from tests.integration.api.test_operations import NOW, reserved
from tests.integration.api.test_orders import created, parties, wish

CHANGING = [route for resource in _RESOURCES for route in resource.routes.declared if route.method != "GET"]
MONEY = [route for route in CHANGING if route.gate.moves_money]
# Whoever adds a route that changes something decides here, or by declaring ``moves_money``, what a drain means for it.
MOVES_NO_MONEY = {
    "POST /users": "a user without money",
    "PATCH /users/{user_id}": "a user's data",
    "POST /orders": "an order without money; one with `checkout` is refused",
    "POST /orders/{order_id}/cancel": "gives a reservation back",
    "POST /orders/{order_id}/escrow/abandon": "gives a reservation back",
    "POST /orders/{order_id}/milestones/{ref}/complete": "records a delivery",
    "POST /orders/{order_id}/resolution/dispute": "freezes money where it is, which must not wait",
    "POST /orders/{order_id}/resolution/extend": "a deadline",
    "POST /disputes/{dispute_id}/assign": "words",
    "POST /disputes/{dispute_id}/evidence": "words",
    "POST /disputes/{dispute_id}/messages": "words",
    "POST /users/{user_id}/balance/sync": "states what the chain has done already",
    "POST /reconciliation/runs": "compares",
    "POST /ledger/adjustments": "corrects the books; no money moves",
    "POST /maintenance/drain": "is the drain",
    "DELETE /maintenance/drain": "is the drain",
    "POST /auth/api-keys": "keys",
    "DELETE /auth/api-keys/{key_id}": "keys",
    "POST /auth/api-keys/{key_id}/rotate": "keys",
    "POST /auth/api-keys/{key_id}/token": "keys",
    "POST /auth/token": "keys",
    "POST /webhook-endpoints": "news",
    "PATCH /webhook-endpoints/{endpoint_id}": "news",
    "DELETE /webhook-endpoints/{endpoint_id}": "news",
    "POST /webhook-endpoints/{endpoint_id}/rotate-secret": "news",
    "POST /webhook-deliveries/{delivery_id}/redeliver": "news",
    **{
        f"POST /users/{{user_id}}/balance/{what}": "is always refused"
        for what in ("credit", "debit", "reserve", "release", "cancel-reservation", "deduct-reserved")
    },
}
BODIES = {
    "/withdrawals": {"userId": "usr_1", "amount": "1.00", "destinationType": "crypto", "destinationRef": "GX"},
    "/orders/{order_id}/resolution/refund": {"reason": "late"},
    "/disputes/{dispute_id}/resolve": {"decision": "FULL_REFUND"},
}


def name(route: Declared) -> str:
    return f"{route.method} {route.path}"


def code_of(answer: httpx.Response) -> str:
    return str(answer.json().get("error", {}).get("code", ""))


async def ask(client: httpx.AsyncClient, route: Declared) -> httpx.Response:
    path = "/".join("ord_none" if part.startswith("{") else part for part in route.path.split("/"))
    return await client.request(route.method, path, json=BODIES.get(route.path))


async def drained(api: Api, *, on: bool, reason: str = "new disks") -> dict[str, object]:
    async with api.acting(MASTER) as master:
        if on:
            answer = await master.post("/maintenance/drain", json={"reason": reason})
        else:
            answer = await master.delete("/maintenance/drain")
    assert answer.status_code == 200, answer.text
    data: dict[str, object] = answer.json()["data"]
    Maintenance.model_validate(data)
    return data


def test_every_route_that_changes_something_says_whether_it_moves_money() -> None:
    assert {name(route) for route in CHANGING if not route.gate.moves_money} == set(MOVES_NO_MONEY)


async def test_every_money_moving_route_is_refused_and_says_so_in_the_document(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    await drained(api, on=True)
    assert len(MONEY) > 8
    async with api.acting(await api.key("*")) as client:
        for route in MONEY:
            answer = await ask(client, route)
            assert (answer.status_code, code_of(answer)) == (503, "MAINTENANCE"), (name(route), answer.text)
            assert "new disks" in answer.json()["error"]["message"]
            assert int(answer.headers["retry-after"]) > 0
            described = document["paths"]["/api/v1" + route.path][route.method.lower()]
            assert "MAINTENANCE" in described["responses"]["503"]["description"], name(route)
        buyer, seller = await parties(api)
        for checkout in ("reserve", "fund"):
            answer = await client.post("/orders", json=wish(buyer, seller, checkout=checkout))
            assert (answer.status_code, code_of(answer)) == (503, "MAINTENANCE"), checkout
        await created(await client.post("/orders", json=wish(buyer, seller)))
        await drained(api, on=False)
        for route in MONEY:
            assert code_of(await ask(client, route)) != "MAINTENANCE", name(route)


async def test_what_runs_is_finished_and_what_is_known_is_answered(api: Api) -> None:
    order = await reserved(api)
    headers = {"Idempotency-Key": "escrow-1", **NOW}
    promised = await api.client.post(f"/orders/{order['id']}/escrow", headers=headers)
    assert promised.status_code == 202
    await drained(api, on=True)
    again = await api.client.post(f"/orders/{order['id']}/escrow", headers=headers)
    assert (again.status_code, again.headers["idempotent-replayed"]) == (202, "true")
    await api.market.sign(promised.json()["operation"]["id"], "GSIGNER")
    assert (await api.market.operation(promised.json()["operation"]["id"])).status == "RUNNING"
    buyer, seller = await parties(api)
    other = await created(await api.client.post("/orders", json=wish(buyer, seller)))
    key = {"Idempotency-Key": "reserve-1"}
    assert code_of(await api.client.post(f"/orders/{other['id']}/reserve", headers=key)) == "MAINTENANCE"
    assert (await api.client.get(f"/orders/{other['id']}")).json()["data"]["status"] == "ORDER_CREATED"
    await drained(api, on=False)
    answer = await api.client.post(f"/orders/{other['id']}/reserve", headers=key)
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "FUNDS_RESERVED"), "the refusal was not kept for the key"


async def test_another_process_knows_within_a_second_and_a_new_one_at_once(api: Api, postgres_url: str, redis_url: str) -> None:
    async def elsewhere() -> httpx.Response:
        async with (
            serving(create_services(settings(postgres_url, redis_url))) as url,
            httpx.AsyncClient(trust_env=False, timeout=60) as client,
        ):
            return await client.get(f"{url}/config")

    async with (
        serving(create_services(settings(postgres_url, redis_url))) as url,
        replace(api, url=url).acting(MASTER) as other,
    ):
        assert code_of(await other.post("/orders/ord_none/reserve")) == "ORDER_NOT_FOUND"
        await drained(api, on=True)
        await asyncio.sleep(0.6)
        assert code_of(await other.post("/orders/ord_none/reserve")) == "MAINTENANCE"
        assert (await elsewhere()).json()["data"]["draining"] is True
        await drained(api, on=False)
        await asyncio.sleep(0.6)
        assert code_of(await other.post("/orders/ord_none/reserve")) == "ORDER_NOT_FOUND"


@pytest.mark.usefixtures("relay")
async def test_it_is_shown_told_and_harmless_twice(api: Api) -> None:
    untouched = await drained(api, on=False)
    assert untouched == {"draining": False, "reason": None, "changedBy": None, "changedAt": None}
    first = await drained(api, on=True)
    assert (first["draining"], first["reason"], first["changedBy"]) == (True, "new disks", "master")
    assert await drained(api, on=True, reason="another") == first
    config = (await api.client.get("/config")).json()["data"]
    health = (await api.client.get("/health/detailed")).json()["data"]
    Config.model_validate(config)
    DetailedHealth.model_validate(health)
    assert (config["draining"], health["draining"]) == (True, True)
    await drained(api, on=False)
    async with api.acting(MASTER) as master:
        assert (await master.get("/maintenance")).json()["data"]["draining"] is False
        found = (await master.get("/events", params={"types": "maintenance.*"}, headers={"Accept": "application/json"})).json()["data"]
    told = [(one["eventType"], one["payload"]) for one in found]
    facts = {"reason": "new disks", "changedBy": "master"}
    assert told == [("maintenance.drain_started", facts), ("maintenance.drain_ended", facts)]
    assert code_of(await api.client.post("/maintenance/drain")) == "INSUFFICIENT_SCOPE"
