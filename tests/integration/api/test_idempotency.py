"""The same key and request: one effect, one answer, whatever happens in between."""

from __future__ import annotations

from tests.integration.api.conftest import MASTER, Api
from tests.integration.api.test_orders import UNIT, created, parties, wish


async def test_a_repeated_request_is_answered_with_the_first_answer(api: Api) -> None:
    buyer, seller = await parties(api)
    headers = {"Idempotency-Key": "order-1"}
    first = await api.client.post("/orders", json=wish(buyer, seller), headers=headers)
    second = await api.client.post("/orders", json=wish(buyer, seller), headers=headers)
    assert "idempotent-replayed" not in first.headers
    assert second.headers["idempotent-replayed"] == "true"
    assert (second.status_code, second.json(), second.headers["location"]) == (201, first.json(), first.headers["location"])
    assert second.headers["x-request-id"] != first.headers["x-request-id"]


async def test_another_body_path_or_method_with_the_same_key_is_refused(api: Api) -> None:
    buyer, seller = await parties(api)
    headers = {"Idempotency-Key": "order-1"}
    order = await created(await api.client.post("/orders", json=wish(buyer, seller), headers=headers))
    for answer in (
        await api.client.post("/orders", json=wish(buyer, seller, amount="80.01"), headers=headers),
        await api.client.post(f"/orders/{order['id']}/reserve", headers=headers),
    ):
        assert answer.status_code == 409
        assert answer.json()["error"]["code"] == "IDEMPOTENCY_KEY_REUSED"


async def test_keys_belong_to_their_caller(api: Api) -> None:
    buyer, seller = await parties(api)
    headers = {"Idempotency-Key": "order-1"}
    first = await created(await api.client.post("/orders", json=wish(buyer, seller), headers=headers))
    async with api.acting(await api.key("*")) as other:
        second = await created(await other.post("/orders", json=wish(buyer, seller), headers=headers))
    assert first["id"] != second["id"]


async def test_a_refusal_of_the_domain_is_kept_too(api: Api) -> None:
    buyer, seller = await api.market.user(10 * UNIT), await api.market.user()
    order = await created(await api.client.post("/orders", json=wish(buyer.id, seller.id)))
    headers = {"Idempotency-Key": "reserve-1"}
    first = await api.client.post(f"/orders/{order['id']}/reserve", headers=headers)
    assert first.json()["error"]["code"] == "INSUFFICIENT_FUNDS"
    await api.market.deposit(buyer, 90 * UNIT)
    second = await api.client.post(f"/orders/{order['id']}/reserve", headers=headers)
    assert (second.status_code, second.json()) == (422, first.json())
    assert second.headers["idempotent-replayed"] == "true"
    assert (await api.client.post(f"/orders/{order['id']}/reserve", headers={"Idempotency-Key": "reserve-2"})).status_code == 200


async def test_a_request_that_never_reached_the_domain_is_not_kept(api: Api) -> None:
    buyer, seller = await parties(api)
    headers = {"Idempotency-Key": "order-1"}
    assert (await api.client.post("/orders", json=wish(buyer, seller, amount="80"), headers=headers)).status_code == 400
    assert (await api.client.post("/orders", json=wish(buyer, seller), headers=headers)).status_code == 201


async def test_a_created_secret_is_shown_once_and_kept_nowhere(api: Api) -> None:
    async with api.acting(MASTER) as master:
        request = {"json": {"name": "k", "scopes": ["read"]}, "headers": {"Idempotency-Key": "key-1"}}
        first = await master.post("/auth/api-keys", **request)  # type: ignore[arg-type]
        second = await master.post("/auth/api-keys", **request)  # type: ignore[arg-type]
    assert second.json()["data"] == {**first.json()["data"], "apiKey": None}
    secret = first.json()["data"]["apiKey"].rpartition("_")[2]
    async with api.services.database.engine.connect() as connection:
        found = await connection.exec_driver_sql("SELECT count(*) FROM idempotency_keys WHERE response::text LIKE %s", (f"%{secret}%",))
        assert found.scalar_one() == 0


async def test_an_unusable_key_is_refused(api: Api) -> None:
    for key in ("", "a" * 256, "with space"):
        answer = await api.client.post("/users", json={"externalUserId": "u"}, headers={"Idempotency-Key": key})
        assert answer.status_code == 400, key
        assert answer.json()["error"]["details"]["fields"][0]["field"] == "Idempotency-Key"
