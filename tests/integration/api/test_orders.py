"""Users, orders, reservations and cancellations over HTTP."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import text

from tests.integration.api.conftest import Api

UNIT = 10_000_000


async def created(answer: httpx.Response) -> Any:
    assert answer.status_code in {200, 201}, answer.text
    return answer.json()["data"]


async def parties(api: Api, amount: int = 100) -> tuple[str, str]:
    buyer, seller = await api.market.user(amount * UNIT), await api.market.user()
    return buyer.id, seller.id


def wish(buyer: str, seller: str, **more: Any) -> dict[str, Any]:
    return {"buyerId": buyer, "sellerId": seller, "amount": "80.00", "title": "A logo", **more}


async def test_a_user_gets_a_wallet_and_a_balance(api: Api) -> None:
    answer = await api.client.post("/users", json={"externalUserId": "u-1", "email": "a@b.example", "metadata": {"plan": "gold"}})
    user = await created(answer)
    assert answer.headers["location"] == f"/api/v1/users/{user['id']}"
    assert user["wallet"]["status"] == "READY"
    assert user["balance"]["total"] == "0.00"
    by_external = await api.client.get("/users/by-external/u-1")
    assert by_external.json()["data"] == user
    strange = await created(await api.client.post("/users", json={"externalUserId": "shop/7 ü?"}))
    assert (await api.client.get(f"/users/by-external/{quote('shop/7 ü?', safe='')}")).json()["data"]["id"] == strange["id"]
    again = await api.client.post("/users", json={"external_user_id": "u-1"})
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "USER_ALREADY_EXISTS"
    assert again.json()["error"]["details"]["userId"] == user["id"]


async def test_balance_is_readable_at_the_top_level_and_under_data(api: Api) -> None:
    buyer, _ = await parties(api)
    for path in (f"/users/{buyer}/balance", f"/balances/{buyer}"):
        body = (await api.client.get(path)).json()
        assert body["available"] == body["data"]["available"] == "100.00"
        assert body["userId"] == buyer
        assert body["updatedAt"].endswith("Z")


async def test_wallet_and_deposit_address(api: Api) -> None:
    buyer, _ = await parties(api)
    wallet = (await api.client.get(f"/users/{buyer}/wallet")).json()["data"]
    assert wallet["balance"] == {"usdc": "100.00", "xlm": "0.00"}
    deposit = (await api.client.get(f"/users/{buyer}/wallet/deposit")).json()["data"]
    assert deposit["address"] == wallet["publicKey"]
    assert deposit["uri"].startswith(f"web+stellar:pay?destination={wallet['publicKey']}&asset_code=USDC&asset_issuer=GISSUER")


async def test_an_order_is_created_reserved_and_canceled(api: Api) -> None:
    buyer, seller = await parties(api)
    answer = await api.client.post("/orders", json=wish(buyer, seller, metadata={"cart": "7"}, clientOrderRef="c-1"))
    order = await created(answer)
    assert order["status"] == "ORDER_CREATED"
    fees = {"protocolFee": "0.24", "platformFee": "2.00"}
    assert order["quote"] == {"amount": "80.00", **fees, "sellerReceives": "77.76", "buyerReceivesOnRefund": "77.76"}
    assert answer.headers["location"] == f"/api/v1/orders/{order['id']}"
    reserved = await created(await api.client.post(f"/orders/{order['id']}/reserve"))
    assert reserved["status"] == "FUNDS_RESERVED"
    balance = (await api.client.get(f"/balances/{buyer}")).json()
    assert (balance["available"], balance["reserved"], balance["total"]) == ("20.00", "80.00", "100.00")
    twice = await api.client.post(f"/orders/{order['id']}/reserve", json={})
    assert twice.json()["error"]["code"] == "FUNDS_ALREADY_RESERVED"
    closed = await created(await api.client.post(f"/orders/{order['id']}/cancel", json={"reason": "changed my mind"}))
    assert (closed["status"], closed["finalStatus"], closed["cancelReason"]) == ("CLOSED", "CANCELED", "changed my mind")
    assert (await api.client.get(f"/balances/{buyer}")).json()["available"] == "100.00"
    late = await api.client.post(f"/orders/{order['id']}/reserve")
    assert late.status_code == 409
    assert late.json()["error"]["details"]["currentState"] == "CLOSED"


async def test_what_the_buyer_does_not_have_cannot_be_reserved(api: Api) -> None:
    buyer, seller = await parties(api, amount=10)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller)))
    answer = await api.client.post(f"/orders/{order['id']}/reserve")
    assert answer.status_code == 422
    details = answer.json()["error"]["details"]
    assert details == {"available": "10.00", "requested": "80.00", "currency": "USDC"}


async def test_concurrent_reservations_never_overdraw(api: Api) -> None:
    buyer, seller = await parties(api, amount=100)
    orders = [await created(await api.client.post("/orders", json=wish(buyer, seller, amount="30.00"))) for _ in range(6)]
    answers = await asyncio.gather(*(api.client.post(f"/orders/{order['id']}/reserve") for order in orders))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 200, 422, 422, 422]
    balance = (await api.client.get(f"/balances/{buyer}")).json()
    assert (balance["available"], balance["reserved"]) == ("10.00", "90.00")


@pytest.mark.parametrize("milestone", [{"milestone_ref": "m1", "title": "Draft"}, {"ref": "m1", "description": "Draft"}])
async def test_milestones_in_both_spellings(api: Api, milestone: dict[str, str]) -> None:
    buyer, seller = await parties(api)
    milestones = [{**milestone, "amount": "80.00"}]
    order = await created(await api.client.post("/orders", json=wish(buyer, seller, milestones=milestones)))
    listed = (await api.client.get(f"/orders/{order['id']}/milestones")).json()["data"]
    assert [(one["ref"], one["title"], one["description"], one["amount"]) for one in listed] == [("m1", "Draft", "Draft", "80.00")]


async def test_orders_are_listed_newest_first_by_pages_and_filters(api: Api) -> None:
    buyer, seller = await parties(api)
    made = [await created(await api.client.post("/orders", json=wish(buyer, seller, metadata={"n": str(n)}))) for n in range(5)]
    expected = [order["id"] for order in reversed(made)]
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        body = (await api.client.get("/orders", params={"limit": 2, "buyerId": buyer, **cursor})).json()
        seen += [order["id"] for order in body["data"]]
        assert body["hasMore"] == (body["nextCursor"] is not None)
        if not body["hasMore"]:
            break
        cursor = {"cursor": body["nextCursor"]}
    assert seen == expected
    by_metadata = (await api.client.get("/orders", params={"metadata[n]": "3"})).json()
    assert [order["id"] for order in by_metadata["data"]] == [made[3]["id"]]
    assert (await api.client.get("/orders", params={"seller_id": "usr_nobody"})).json()["data"] == []
    unknown = await api.client.get("/orders", params={"buyer": buyer})
    assert unknown.status_code == 400
    assert (await api.client.get("/orders", params={"limit": 101})).status_code == 400


async def test_orders_are_listed_by_the_time_of_their_creation(api: Api) -> None:
    buyer, seller = await parties(api)
    made = [await created(await api.client.post("/orders", json=wish(buyer, seller))) for _ in range(4)]
    base = datetime.now(UTC) - timedelta(minutes=30)
    async with api.market.command() as transaction:
        for number, order in enumerate(made):
            moment = base + timedelta(minutes=number)
            await transaction.run(text("UPDATE orders SET created_at = :moment WHERE id = :id"), moment=moment, id=order["id"])

    async def listed(**between: float) -> list[int]:
        params = {name: (base + timedelta(minutes=minutes)).isoformat() for name, minutes in between.items()}
        found = (await api.client.get("/orders", params=params)).json()["data"]
        return [[order["id"] for order in made].index(one["id"]) for one in found]

    assert await listed(createdAfter=1) == [3, 2], "not itself"
    assert await listed(createdBefore=2) == [1, 0]
    assert await listed(createdAfter=0.5, createdBefore=2.5) == [2, 1]
    assert await listed(createdAfter=90) == []
    assert await listed(createdBefore=-90) == []
    for ever in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"):
        for name in ("createdAfter", "createdBefore"):
            found = (await api.client.get("/orders", params={name: ever})).json()["data"]
            assert len(found) == (4 if (name == "createdAfter") == ever.startswith("0") else 0), (name, ever)


async def test_deposits_and_operations_are_listed(api: Api) -> None:
    buyer, _ = await parties(api)
    listed = (await api.client.get("/deposits", params={"userId": buyer})).json()["data"]
    assert [(one["status"], one["amount"]) for one in listed] == [("CREDITED", "100.00")]
    assert (await api.client.get(f"/deposits/{listed[0]['id']}")).json()["data"] == listed[0]
    assert (await api.client.get("/operations")).json() == {"success": True, "data": [], "hasMore": False, "nextCursor": None}
