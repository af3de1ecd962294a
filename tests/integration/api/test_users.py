"""Users are changed, suspended and found."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from offerhub.commands.operations import book_operation
from offerhub.domain.messages import Movement
from tests.integration.api.conftest import Api
from tests.integration.api.test_orders import created, wish
from tests.integration.commands.test_order_life import AMOUNT, TW, approved, funded


async def events_of(api: Api, user_id: str) -> list[str]:
    async with api.services.database.reading() as reader:
        statement = text("SELECT type FROM events WHERE aggregate_id = :id AND aggregate_type = 'User' ORDER BY inserted")
        return [row["type"] for row in await reader.rows(statement, id=user_id)]


async def changed(api: Api, user_id: str, **fields: Any) -> dict[str, Any]:
    answer = await api.client.patch(f"/users/{user_id}", json=fields)
    assert answer.status_code == 200, answer.text
    data: dict[str, Any] = answer.json()["data"]
    assert (await api.client.get(f"/users/{user_id}")).json()["data"] == data
    return data


async def test_a_user_is_changed_field_by_field(api: Api) -> None:
    made = {"externalUserId": "u-1", "email": "a@b.example", "type": "BUYER", "metadata": {"plan": "gold", "city": "Lima"}}
    user = await created(await api.client.post("/users", json=made))
    after = await changed(api, user["id"], email="c@d.example", type="BOTH", metadata={"plan": "silver", "city": None, "n": "1"})
    assert (after["email"], after["type"], after["metadata"]) == ("c@d.example", "BOTH", {"plan": "silver", "n": "1"})
    assert after["updatedAt"] > user["updatedAt"]
    assert await changed(api, user["id"], email=None, type=None, status=None, metadata=None) == after, "null changes nothing"
    assert await changed(api, user["id"]) == after
    assert (await changed(api, user["id"], email=""))["email"] is None
    assert await events_of(api, user["id"]) == ["user.created", "user.updated", "user.updated"], "no change, no event"
    async with api.services.database.reading() as reader:
        statement = text("SELECT before, after FROM audit_log WHERE resource_id = :id AND action = 'user.updated' ORDER BY id")
        first = (await reader.rows(statement, id=user["id"]))[0]
    assert (first["before"]["type"], first["after"]["type"]) == ("BUYER", "BOTH")
    assert first["after"]["metadata"] == {"plan": "silver", "n": "1"}


@pytest.mark.parametrize(
    "fields", [{"status": "GONE"}, {"type": "ADMIN"}, {"email": "nobody"}, {"externalUserId": "other"}, {"metadata": {"k": "v" * 501}}]
)
async def test_what_a_user_cannot_become(api: Api, fields: dict[str, Any]) -> None:
    user = await api.market.user()
    answer = await api.client.patch(f"/users/{user.id}", json=fields)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_merged_metadata_stays_within_its_bound(api: Api) -> None:
    user = await api.market.user()
    await changed(api, user.id, metadata={f"a{n}": "1" for n in range(50)})
    answer = await api.client.patch(f"/users/{user.id}", json={"metadata": {"one": "more"}})
    assert (answer.status_code, answer.json()["error"]["details"]["fields"][0]["field"]) == (400, "metadata")
    assert len((await api.client.get(f"/users/{user.id}")).json()["data"]["metadata"]) == 50
    nobody = await api.client.patch("/users/usr_nobody", json={"type": "BOTH"})
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (404, "USER_NOT_FOUND")


async def test_a_suspended_user_starts_nothing_and_receives_what_is_his(api: Api) -> None:
    buyer, seller, order = await funded(api.market)
    assert (await changed(api, seller.id, status="SUSPENDED"))["status"] == "SUSPENDED"
    assert await events_of(api, seller.id) == ["user.created", "user.updated", "user.suspended"]
    operation_id = await approved(api.market, order, buyer, seller)
    contract = str(order.the_escrow.contract_id)
    payout = await api.market.sign(operation_id, str(buyer.public_key))
    await api.market.apply(payout, Movement(contract, TW, 2_400_000), Movement(contract, str(seller.public_key), AMOUNT - 2_400_000))
    async with api.market.command() as transaction:
        await book_operation(transaction, operation_id)
    await api.market.deposit(seller, 10_000_000)
    assert (await api.market.books_of(seller)).available == AMOUNT - 2_400_000 + 10_000_000
    for parties in ((seller.id, buyer.id), (buyer.id, seller.id)):
        refused = await api.client.post("/orders", json=wish(*parties))
        assert (refused.status_code, refused.json()["error"]["code"]) == (422, "USER_SUSPENDED")
    with pytest.raises(Exception, match="suspended"):
        await api.market.withdraw(seller, 10_000_000)
    assert (await changed(api, seller.id, status="ACTIVE"))["status"] == "ACTIVE"


async def test_a_buyer_who_was_suspended_after_he_ordered_reserves_nothing(api: Api) -> None:
    buyer, seller = await api.market.user(AMOUNT), await api.market.user()
    order = (await api.client.post("/orders", json=wish(buyer.id, seller.id))).json()["data"]
    await changed(api, buyer.id, status="SUSPENDED")
    refused = await api.client.post(f"/orders/{order['id']}/reserve")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "USER_SUSPENDED")
    assert (await api.market.books_of(buyer)).reserved == 0
    await changed(api, buyer.id, status="ACTIVE")
    assert (await api.client.post(f"/orders/{order['id']}/reserve")).status_code == 200
    assert (await api.client.post("/orders", json=wish(seller.id, buyer.id))).status_code == 201


async def test_users_are_listed_by_filters(api: Api) -> None:
    made = [
        await created(await api.client.post("/users", json={"externalUserId": f"x-{n}", "type": kind}))
        for n, kind in enumerate(("BUYER", "SELLER", "BUYER"))
    ]
    await changed(api, made[2]["id"], status="SUSPENDED")
    for query, expected in (
        ({"type": "BUYER"}, [2, 0]),
        ({"type": "BUYER", "status": "ACTIVE"}, [0]),
        ({"status": "SUSPENDED"}, [2]),
        ({"externalUserId": "x-1"}, [1]),
        ({"external_user_id": "x-9"}, []),
    ):
        listed = (await api.client.get("/users", params=query)).json()["data"]
        assert [user["id"] for user in listed] == [made[n]["id"] for n in expected], query
