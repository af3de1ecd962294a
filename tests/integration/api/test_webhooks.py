"""Webhook endpoints over HTTP. Nothing is delivered here: no worker runs."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api.app import create_services
from api.schemas.answers import One, Page
from api.schemas.webhooks import NewWebhookEndpoint, WebhookDelivery, WebhookEndpoint
from offerhub.commands.webhooks import book_delivery
from offerhub.domain.webhooks import MOST_ENDPOINTS, Attempt, RetrySchedule
from offerhub.storage import events
from offerhub.storage.events import EventFilter
from tests.integration.api.conftest import Api, opened, settings
from worker import activities_of_role, build_adapters

URL = "http://127.0.0.1:9/hooks"


def data_of(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json()["data"]


async def registered(api: Api, **more: Any) -> Any:
    return data_of(await api.client.post("/webhook-endpoints", json={"url": URL, **more}), 201)


def error_of(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def test_an_endpoints_life(api: Api) -> None:
    answer = await api.client.post(
        "/webhook-endpoints", json={"url": URL, "description": "shop", "eventTypes": ["order.*", "user.created", "order.*"]}
    )
    One[NewWebhookEndpoint].model_validate_json(answer.content)
    made = data_of(answer, 201)
    assert answer.headers["location"].endswith(f"/webhook-endpoints/{made['id']}")
    assert made["id"].startswith("whe_")
    assert made["secret"].startswith("whsec_")
    assert (made["eventTypes"], made["enabled"], made["disabledReason"]) == (["order.*", "user.created"], True, None)
    path = f"/webhook-endpoints/{made['id']}"
    read = await api.client.get(path)
    One[WebhookEndpoint].model_validate_json(read.content)
    assert data_of(read) == {name: value for name, value in made.items() if name != "secret"}
    changed = data_of(await api.client.patch(path, json={"description": None, "enabled": False, "url": None}))
    assert (changed["description"], changed["enabled"], changed["url"], changed["eventTypes"]) == (None, False, URL, made["eventTypes"])
    assert data_of(await api.client.patch(path, json={}))["updatedAt"] == changed["updatedAt"], "nothing changed"
    assert data_of(await api.client.patch(path, json={"event_types": ["*"], "enabled": True}))["eventTypes"] == ["*"]
    listed = await api.client.get("/webhook-endpoints")
    Page[WebhookEndpoint].model_validate_json(listed.content)
    assert [one["id"] for one in listed.json()["data"]] == [made["id"]]
    assert data_of(await api.client.delete(path))["id"] == made["id"]
    assert error_of(await api.client.get(path)) == (404, "WEBHOOK_ENDPOINT_NOT_FOUND")
    assert data_of(await api.client.get("/webhook-endpoints")) == []
    for method, below in (("PATCH", ""), ("DELETE", ""), ("POST", "/rotate-secret"), ("GET", "/deliveries")):
        assert error_of(await api.client.request(method, path + below, json={} if method == "PATCH" else None)) == (
            404,
            "WEBHOOK_ENDPOINT_NOT_FOUND",
        )


async def test_each_change_is_audited_told_and_reaches_the_workflow_without_the_secret(api: Api) -> None:
    made = await registered(api)
    path = f"/webhook-endpoints/{made['id']}"
    rotated = data_of(await api.client.post(f"{path}/rotate-secret"))
    await api.client.patch(path, json={"enabled": False})
    await api.client.patch(path, json={"enabled": False})
    await api.client.delete(path)
    expected = [f"webhook_endpoint.{what}" for what in ("created", "secret_rotated", "updated", "deleted")]
    for query, secrets in (
        ("SELECT type AS name, e.* FROM events e WHERE aggregate_id = '{}' ORDER BY inserted", made),
        ("SELECT action AS name, a.* FROM audit_log a WHERE resource_id = '{}' ORDER BY id", rotated),
    ):
        async with api.services.database.engine.connect() as connection:
            rows = (await connection.exec_driver_sql(query.format(made["id"]))).mappings().all()
        assert [row["name"] for row in rows] == expected
        assert secrets["secret"] not in str(rows)
    async with api.services.database.engine.connect() as connection:
        messages = (await connection.exec_driver_sql("SELECT workflow_id, payload FROM workflow_messages WHERE signal = 'look'")).all()
    assert [tuple(message) for message in messages] == [(f"webhook/{made['id']}", {"endpoint_id": made["id"]})] * 4


async def test_the_secret_is_shown_once(api: Api) -> None:
    headers = {"Idempotency-Key": "once"}
    first = await api.client.post("/webhook-endpoints", json={"url": URL}, headers=headers)
    again = await api.client.post("/webhook-endpoints", json={"url": URL}, headers=headers)
    assert again.headers["idempotent-replayed"] == "true"
    assert data_of(again, 201) == {**data_of(first, 201), "secret": None}
    path = f"/webhook-endpoints/{data_of(first, 201)['id']}"
    rotations = [
        data_of(await api.client.post(f"{path}/rotate-secret", json={"overlapSeconds": 60}, headers={"Idempotency-Key": "turn"}))
        for _ in range(2)
    ]
    assert rotations[0]["secret"] != first.json()["data"]["secret"]
    assert rotations[1] == {**rotations[0], "secret": None}
    assert rotations[0]["previousSecretValidUntil"]
    assert data_of(await api.client.post(f"{path}/rotate-secret", json={"overlapSeconds": 0}))["previousSecretValidUntil"] is None


async def test_a_hundred_equal_requests_make_one_endpoint(api: Api) -> None:
    headers = {"Idempotency-Key": "race"}
    answers = await asyncio.gather(*(api.client.post("/webhook-endpoints", json={"url": URL}, headers=headers) for _ in range(30)))
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert len(data_of(await api.client.get("/webhook-endpoints"))) == 1


async def test_there_are_no_more_than_so_many(api: Api) -> None:
    for number in range(MOST_ENDPOINTS - 1):
        await registered(api, description=str(number))
    answers = await asyncio.gather(*(api.client.post("/webhook-endpoints", json={"url": URL}) for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 422, 422, 422]
    refused = next(answer for answer in answers if answer.status_code == 422)
    assert refused.json()["error"]["code"] == "LIMIT_EXCEEDED"


async def test_what_an_endpoint_may_not_be(api: Api) -> None:
    wrongs: list[dict[str, Any]] = [
        *({"url": ""}, {"url": "ftp://shop.example"}, {"url": "https://user:password@shop.example/"}, {"url": "nowhere"}, {"url": None}),
        *({"eventTypes": []}, {"eventTypes": ["order.relesed"]}, {"eventTypes": ["orders.*"]}, {"eventTypes": ["order*"]}),
        *({"eventTypes": "*"}, {"eventTypes": ["*"] * 101}, {"secret": "mine"}, {"description": "x" * 501}),
    ]
    for wrong in wrongs:
        assert error_of(await api.client.post("/webhook-endpoints", json={"url": URL, **wrong})) == (400, "VALIDATION_ERROR"), wrong


async def test_private_targets_are_refused_where_they_are_not_allowed(postgres_url: str, redis_url: str) -> None:
    targets = (
        *("http://shop.example/hooks", "https://127.0.0.1/", "https://localhost:8443/", "https://10.0.0.1/", "https://[::1]/"),
        *("https://169.254.169.254/latest/meta-data", "https://2130706433/", "https://[::ffff:10.0.0.1]/"),
    )
    async with opened(postgres_url, redis_url, webhook_allow_private_targets="false") as api:
        made = await registered(api, url="https://93.184.215.14/hooks")
        for url in targets:
            answer = await api.client.post("/webhook-endpoints", json={"url": url})
            assert error_of(answer) == (400, "VALIDATION_ERROR"), url
            assert answer.json()["error"]["details"]["fields"][0]["field"] == "url"
            answer = await api.client.patch(f"/webhook-endpoints/{made['id']}", json={"url": url})
            assert error_of(answer) == (400, "VALIDATION_ERROR"), url


def test_only_the_sandbox_allows_private_targets_by_itself(api: Api) -> None:
    settings = api.services.settings
    allowed = [
        settings.model_copy(update={"stellar_network": network, "webhook_allow_private_targets": choice}).allows_private_webhooks
        for network in ("sandbox", "testnet", "mainnet")
        for choice in ("", "true", "false")
    ]
    assert allowed == [True, True, False, False, True, False, False, True, False]


async def something_happened(api: Api) -> None:
    await api.market.user()
    async with asyncio.timeout(60):
        while not data_of(await api.client.get("/events?types=user.created", headers={"Accept": "application/json"})):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def attempted(api: Api, endpoint_id: str, *attempts: Attempt) -> None:
    """As the worker books it, for the first event there is."""
    async with api.services.database.reading() as reader:
        (event,) = await events.after(reader, 0, EventFilter(types=("user.created",)), 1)
    for attempt in attempts:
        async with api.market.command() as transaction:
            await book_delivery(transaction, endpoint_id, replace(event, position=10**6), attempt, RetrySchedule())


async def test_deliveries_are_listed_and_asked_for_again(api: Api, relay: None) -> None:
    await something_happened(api)
    made = await registered(api)
    path = f"/webhook-endpoints/{made['id']}"
    await attempted(
        api, made["id"], Attempt(503, "The receiver answered 503.", 12, "busy"), Attempt(None, "No answer within 15 s.", 15_000)
    )
    failing = data_of(await api.client.get(path))
    assert (failing["failures"], failing["position"]) == (2, made["position"])
    assert failing["failingSince"] < failing["nextTryAt"]
    await attempted(api, made["id"], Attempt(204, None, 5, ""))
    listed = await api.client.get(f"{path}/deliveries")
    Page[WebhookDelivery].model_validate_json(listed.content)
    shown = [(one["status"], one["responseStatus"], one["error"], one["durationMs"]) for one in data_of(listed)]
    assert shown == [
        ("SUCCEEDED", 204, None, 5),
        ("FAILED", None, "No answer within 15 s.", 15_000),
        ("FAILED", 503, "The receiver answered 503.", 12),
    ]
    newest, _, oldest = data_of(listed)
    assert [one["id"] for one in data_of(await api.client.get(f"{path}/deliveries?status=SUCCEEDED"))] == [newest["id"]]
    assert len(data_of(await api.client.get(f"{path}/deliveries?limit=1&cursor={newest['id']}&eventId={newest['eventId']}"))) == 1
    asked = await api.client.post(f"/webhook-deliveries/{oldest['id']}/redeliver", headers={"Idempotency-Key": "again"})
    One[WebhookDelivery].model_validate_json(asked.content)
    again = data_of(asked, 202)
    assert (again["status"], again["trigger"], again["eventId"]) == ("PENDING", "redelivery", oldest["eventId"])
    replayed = await api.client.post(f"/webhook-deliveries/{oldest['id']}/redeliver", headers={"Idempotency-Key": "again"})
    assert data_of(replayed, 202) == again
    assert len(data_of(await api.client.get(f"{path}/deliveries"))) == 4
    assert error_of(await api.client.post("/webhook-deliveries/whd_none/redeliver")) == (404, "WEBHOOK_DELIVERY_NOT_FOUND")
    await api.client.delete(path)
    assert error_of(await api.client.post(f"/webhook-deliveries/{oldest['id']}/redeliver")) == (404, "WEBHOOK_ENDPOINT_NOT_FOUND")


async def test_enabling_one_that_fails_has_it_tried_again(api: Api, relay: None) -> None:
    await something_happened(api)
    path = f"/webhook-endpoints/{(await registered(api))['id']}"
    untouched = data_of(await api.client.patch(path, json={"enabled": True}))
    assert untouched["updatedAt"] == untouched["createdAt"], "nothing to try again"
    await attempted(api, untouched["id"], Attempt(503, "The receiver answered 503.", 12, "busy"))
    described = data_of(await api.client.patch(path, json={"description": "shop"}))
    assert (described["failures"], described["nextTryAt"] is None) == (1, False)
    tried = data_of(await api.client.patch(path, json={"enabled": True}))
    assert (tried["failures"], tried["failingSince"], tried["nextTryAt"], tried["enabled"]) == (0, None, None, True)


async def test_gone_disables_and_a_late_answer_of_a_disabled_endpoint_changes_nothing(api: Api, relay: None) -> None:
    await something_happened(api)
    made = await registered(api)
    await attempted(api, made["id"], Attempt(410, "The receiver answered 410.", 3))
    disabled = data_of(await api.client.get(f"/webhook-endpoints/{made['id']}"))
    assert (disabled["enabled"], disabled["disabledReason"]) == (False, "The receiver answered 410 Gone.")
    await attempted(api, made["id"], Attempt(500, "The receiver answered 500.", 3))
    assert data_of(await api.client.get(f"/webhook-endpoints/{made['id']}")) == disabled
    enabled = data_of(await api.client.patch(f"/webhook-endpoints/{made['id']}", json={"enabled": True}))
    assert (enabled["disabledReason"], enabled["failures"], enabled["failingSince"]) == (None, 0, None)
    await attempted(api, made["id"], Attempt(200, None, 3), Attempt(500, "The receiver answered 500.", 3))
    taken = data_of(await api.client.get(f"/webhook-endpoints/{made['id']}"))
    assert (taken["position"], taken["failures"]) == (10**6, 0), "an event that another attempt has delivered does not fail any more"


async def test_reading_needs_read_and_changing_needs_write(api: Api) -> None:
    made = await registered(api)
    async with api.acting(await api.key("read")) as reader:
        assert (await reader.get(f"/webhook-endpoints/{made['id']}")).status_code == 200
        assert error_of(await reader.post(f"/webhook-endpoints/{made['id']}/rotate-secret")) == (403, "INSUFFICIENT_SCOPE")
    async with api.acting(await api.key("write")) as writer:
        assert error_of(await writer.get(f"/webhook-endpoints/{made['id']}/deliveries")) == (403, "INSUFFICIENT_SCOPE")


async def test_without_its_key_neither_api_nor_worker_start(postgres_url: str, redis_url: str) -> None:
    incomplete = settings(postgres_url, redis_url, webhook_encryption_key="")
    with pytest.raises(SystemExit, match="WEBHOOK_ENCRYPTION_KEY"):
        create_services(incomplete)
    adapters = build_adapters(incomplete)
    with pytest.raises(SystemExit, match="WEBHOOK_ENCRYPTION_KEY"):
        activities_of_role("streams", adapters)
    await adapters.close()
