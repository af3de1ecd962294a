"""Whatever is sent, the answer is one of ours: the envelope, the right code, the request's id."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from offerhub.domain.context import Context
from offerhub.storage import orders
from tests.integration.api.conftest import Api
from tests.integration.api.test_orders import created, parties, wish

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"error"}
    error: dict[str, Any] = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "requestId", "docs"}
    assert error["code"] == code
    assert error["requestId"] == answer.headers["x-request-id"]
    assert error["docs"] == f"/docs/errors#{code}"
    assert "Traceback" not in answer.text
    return error


def fields(error: Mapping[str, Any]) -> list[str]:
    return [entry["field"] for entry in error["details"]["fields"]]


async def test_unknown_paths_and_methods(api: Api) -> None:
    refused(await api.client.get("/nothing"), 404, "NOT_FOUND")
    refused(await api.client.get("/orders/"), 404, "NOT_FOUND")
    refused(await api.client.get("http://" + api.url.split("/")[2] + "/"), 404, "NOT_FOUND")
    answer = await api.client.put("/orders", json={})
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["allow"] == "GET, POST"


async def test_what_does_not_exist(api: Api) -> None:
    refused(await api.client.get("/users/usr_nobody"), 404, "USER_NOT_FOUND")
    refused(await api.client.get("/orders/ord_none"), 404, "ORDER_NOT_FOUND")
    refused(await api.client.get("/operations/op_none"), 404, "OPERATION_NOT_FOUND")
    refused(await api.client.get("/deposits/dep_none"), 404, "DEPOSIT_NOT_FOUND")
    refused(await api.client.post("/orders/ord_none/reserve"), 404, "ORDER_NOT_FOUND")
    refused(await api.client.post("/orders/ord_none/resolution/release"), 404, "ORDER_NOT_FOUND")


@pytest.mark.parametrize("body", [b"{", b"[1,", b'{"a": NaN}', b"\xff\xfe", b'{"a": 1}{'])
async def test_malformed_json(api: Api, body: bytes) -> None:
    refused(await api.client.post("/users", content=body, headers=JSON), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("body", [b"[]", b'"text"', b"1", b"null", b""])
async def test_json_that_is_no_object(api: Api, body: bytes) -> None:
    refused(await api.client.post("/users", content=body, headers=JSON), 400, "VALIDATION_ERROR")


async def test_other_media_types(api: Api) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"):
        answer = await api.client.post("/users", content=b'{"externalUserId": "u"}', headers={"Content-Type": kind})
        refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


async def test_too_large_bodies_announced_or_not(api: Api) -> None:
    refused(await api.client.post("/users", content=b"x" * 262_145, headers=JSON), 413, "PAYLOAD_TOO_LARGE")

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(300):
            yield b" " * 1024

    refused(await api.client.post("/users", content=chunks(), headers=JSON), 413, "PAYLOAD_TOO_LARGE")


async def test_deep_nesting(api: Api) -> None:
    deep = b'{"externalUserId": "u", "metadata": {"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}"
    refused(await api.client.post("/users", content=deep, headers=JSON), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize("text", ["a\x00b", "\x1b[31m", "\x7f", "\x85"])
async def test_control_characters_anywhere(api: Api, text: str) -> None:
    assert fields(refused(await api.client.post("/users", json={"externalUserId": text}), 400, "VALIDATION_ERROR")) == ["externalUserId"]
    metadata = await api.client.post("/users", json={"externalUserId": "u", "metadata": {"k": text}})
    assert fields(refused(metadata, 400, "VALIDATION_ERROR")) == ["metadata.k"]
    refused(await api.client.get("/users", params={"externalUserId": text}), 400, "VALIDATION_ERROR")
    refused(await api.client.get(f"/users/by-external/{quote(text)}x"), 400, "VALIDATION_ERROR")


async def test_unknown_missing_and_wrong_fields_are_named(api: Api) -> None:
    error = refused(await api.client.post("/orders", json={"buyerId": 7, "amount": "1.00", "tittle": "x"}), 400, "VALIDATION_ERROR")
    assert sorted(fields(error)) == ["buyerId", "sellerId", "title", "tittle"]


async def test_both_spellings_of_one_field_at_once_are_refused(api: Api) -> None:
    buyer, seller = await parties(api)
    error = refused(await api.client.post("/orders", json=wish(buyer, seller, buyer_id=seller)), 400, "VALIDATION_ERROR")
    assert fields(error) == ["buyer_id"]


async def test_snake_case_is_accepted_and_camel_case_answered(api: Api) -> None:
    buyer, seller = await parties(api)
    order = await created(
        await api.client.post(
            "/orders", json={"buyer_id": buyer, "seller_id": seller, "amount": "1.00", "title": "t", "client_order_ref": "c"}
        )
    )
    assert (order["buyerId"], order["clientOrderRef"]) == (buyer, "c")
    assert not any("_" in name for name in order)


AMOUNTS: list[Any] = [
    *("100", "100.5", "1e3", " 5.00", "5.00 ", "-1.00", "+1.00", "0.00", "0.0000000", "1.00000001", "1,00", "", "\u0665.00")
]
AMOUNTS += [100.00, 100, 1e3, True, None, ["1.00"], {"value": "1.00"}, "1234567890123.00", "NaN", "1.00\n"]


@pytest.mark.parametrize("amount", AMOUNTS)
async def test_amounts_that_are_none(api: Api, amount: object) -> None:
    error = refused(await api.client.post("/orders", json=wish("usr_a", "usr_b", amount=amount)), 400, "INVALID_AMOUNT_FORMAT")
    assert fields(error) == ["amount"]


@pytest.mark.parametrize(("sent", "answered"), [("80.00", "80.00"), ("80.10", "80.10"), ("0.0000001", "0.0000001"), ("1.2500000", "1.25")])
async def test_amounts_as_they_come_back(api: Api, sent: str, answered: str) -> None:
    buyer, seller = await parties(api)
    assert (await created(await api.client.post("/orders", json=wish(buyer, seller, amount=sent))))["amount"] == answered


async def test_currencies(api: Api) -> None:
    buyer, seller = await parties(api)
    refused(await api.client.post("/orders", json=wish(buyer, seller, currency="EUR")), 400, "INVALID_CURRENCY")
    assert (await created(await api.client.post("/orders", json=wish(buyer, seller, currency="USD"))))["currency"] == "USDC"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": "x" * 101}, "title"),
        ({"title": "  "}, "title"),
        ({"description": "x" * 501}, "description"),
        ({"clientOrderRef": "x" * 256}, "clientOrderRef"),
        ({"metadata": {str(n): "v" for n in range(51)}}, "metadata"),
        ({"metadata": {"k": "v" * 501}}, "metadata"),
        ({"metadata": {"k": 1.5}}, "metadata"),
        ({"milestones": [{"ref": str(n), "title": "t"} for n in range(51)]}, "milestones"),
        ({"milestones": [{"ref": "a", "title": "t"}, {"ref": "a", "title": "u"}]}, "milestones"),
        ({"milestones": [{"ref": "a", "title": "t", "amount": "79.99"}]}, "milestones"),
        ({"milestones": [{"ref": "a"}]}, "milestones.0.title"),
    ],
)
async def test_bounds_of_an_order(api: Api, change: dict[str, Any], field: str) -> None:
    buyer, seller = await parties(api)
    assert fields(refused(await api.client.post("/orders", json=wish(buyer, seller, **change)), 400, "VALIDATION_ERROR")) == [field]


async def test_buyer_and_seller_must_exist_and_differ(api: Api) -> None:
    buyer, seller = await parties(api)
    refused(await api.client.post("/orders", json=wish(buyer, "usr_nobody")), 404, "USER_NOT_FOUND")
    assert fields(refused(await api.client.post("/orders", json=wish(seller, seller)), 400, "VALIDATION_ERROR")) == ["sellerId"]


async def test_the_request_id_is_taken_if_it_is_sane(api: Api) -> None:
    answer = await api.client.get("/health", headers={"X-Request-ID": "mine-1.2:3"})
    assert answer.headers["x-request-id"] == "mine-1.2:3"
    for strange in ("x" * 129, "a b", '"quoted"'):
        answer = await api.client.get("/health", headers={"X-Request-ID": strange})
        assert answer.headers["x-request-id"].startswith("req_")


async def test_what_nobody_expected_is_an_internal_error_with_the_request_id(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("api.present.order", broken)
    buyer, seller = await parties(api)
    answer = await api.client.post("/orders", json=wish(buyer, seller), headers={"X-Request-ID": "look-me-up"})
    refused(answer, 500, "INTERNAL_ERROR")
    assert answer.json()["error"]["requestId"] == "look-me-up"
    assert "secret detail" not in answer.text
    monkeypatch.undo()
    assert (await api.client.get("/orders")).json()["data"] == [], "nothing was left behind"


async def test_a_database_that_is_away_is_said_so_and_survived(api: Api) -> None:
    database = api.services.database
    buyer, seller = await parties(api)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller)))
    async with database.transaction(Context("neighbour", "test")) as neighbour:
        await orders.lock(neighbour, order["id"])
        answer = await api.client.post(f"/orders/{order['id']}/reserve", headers={"Idempotency-Key": "k"})
        refused(answer, 503, "PROVIDER_UNAVAILABLE")
        assert answer.headers["retry-after"]
    assert (await api.client.post(f"/orders/{order['id']}/reserve", headers={"Idempotency-Key": "k"})).status_code == 200
