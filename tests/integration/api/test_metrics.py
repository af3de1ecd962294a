"""What Prometheus is shown, and who else is not."""

from __future__ import annotations

import httpx
import psycopg
import pytest
from psycopg import sql
from redis.asyncio import Redis

from offerhub.domain.states import AttemptState
from offerhub.providers.budget import TRUSTLESS_WORK, Priority, RequestBudget
from tests.integration.api.conftest import Api, opened
from tests.integration.api.test_events import stream
from tests.integration.api.test_operations import NOW, reserved
from tests.integration.commands.market import SIGNER
from tests.unit.telemetry.test_metrics import Series, parsed

REQUESTS = "offerhub_http_request_duration_seconds_count"


async def scraped(api: Api) -> Series:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as nobody:
        answer = await nobody.get(f"{api.url}/metrics")
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        root = await nobody.get(api.url.removesuffix("/api/v1") + "/metrics")
        assert root.status_code == 200
    return parsed(answer.text)


def value(series: Series, name: str, **labels: str) -> float | None:
    return series.get((name, frozenset(labels.items())))


async def test_requests_are_counted_by_route_and_status(api: Api) -> None:
    for path in ("/orders/ord_1", "/orders/ord_2", "/users", "/nothing/here"):
        await api.client.get(path)
    async with api.acting(None) as nobody:
        await nobody.get("/orders/ord_1")
        await nobody.request("PROPFIND", "/orders")
    series = await scraped(api)
    assert value(series, REQUESTS, method="GET", route="/api/v1/orders/{order_id}", status="404") == 2
    assert value(series, REQUESTS, method="GET", route="/api/v1/orders/{order_id}", status="401") == 1
    assert value(series, REQUESTS, method="GET", route="/api/v1/users", status="200") == 1
    assert value(series, REQUESTS, method="GET", route="none", status="404") == 1
    assert {dict(labels)["status"] for name, labels in series if name == REQUESTS and ("method", "OTHER") in labels} == {"405"}
    routes = {dict(labels)["route"] for name, labels in series if name == REQUESTS}
    assert not [route for route in routes if "ord_1" in route or "nothing" in route]


async def test_what_is_at_work_is_shown(api: Api) -> None:
    order = await reserved(api)
    promised = (await api.client.post(f"/orders/{order['id']}/escrow", headers=NOW)).json()["operation"]
    series = await scraped(api)
    assert value(series, "offerhub_operations_in_flight", kind="escrow_creation", status="PENDING") == 1
    assert value(series, "offerhub_outbox_messages", purpose="command") == 1
    assert (value(series, "offerhub_outbox_oldest_seconds", purpose="command") or 0) > 0
    assert (value(series, "offerhub_events_unnumbered") or 0) > 3
    assert (value(series, "offerhub_event_relay_lag_seconds") or 0) > 0
    assert (value(series, "offerhub_audit_unsealed") or 0) > 3
    assert value(series, "offerhub_attempts_open", state="UNKNOWN") == 0
    assert value(series, "offerhub_database_up") == 1
    assert value(series, "offerhub_maintenance_draining") == 0
    attempt = await api.market.sign(promised["id"], SIGNER)
    await api.market.settle(attempt, AttemptState.UNKNOWN)
    series = await scraped(api)
    assert value(series, "offerhub_attempts_open", state="UNKNOWN") == 1
    assert value(series, "offerhub_attempts_open", state="SIGNED") == 0
    assert value(series, "offerhub_operations_in_flight", kind="escrow_creation", status="RUNNING") == 1
    assert value(series, "offerhub_stream_halted", stream="payments") == 0
    assert value(series, "offerhub_account_balance_usdc", account="platform:revenue") == 0


@pytest.mark.usefixtures("relay")
async def test_subscribers_and_the_budget(api: Api, redis_url: str) -> None:
    redis = Redis.from_url(redis_url)
    budget = RequestBudget(redis, TRUSTLESS_WORK, 50)
    for _ in range(3):
        assert await budget.acquire(Priority.RELEASE) is None
    async with stream(api):
        series = await scraped(api)
    await redis.aclose()
    assert value(series, "offerhub_event_subscribers") == 1
    assert value(series, "offerhub_trustless_work_requests_per_minute") == 3
    assert value(series, "offerhub_redis_up") == 1
    assert value(series, REQUESTS, method="GET", route="/api/v1/events", status="200") == 1


async def test_without_redis_the_rest_is_there(postgres_url: str) -> None:
    async with opened(postgres_url, "redis://127.0.0.1:1/0") as api:
        series = await scraped(api)
    assert value(series, "offerhub_redis_up") == 0
    assert value(series, "offerhub_database_up") == 1
    assert value(series, "offerhub_trustless_work_requests_per_minute") is None


async def test_without_the_database_the_rest_is_there(api: Api, postgres_url: str) -> None:
    server, _, name = postgres_url.rpartition("/")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
    series = await scraped(api)
    assert value(series, "offerhub_database_up") == 0
    assert value(series, "offerhub_audit_sequence") is None
    assert value(series, REQUESTS, method="POST", route="/api/v1/auth/api-keys", status="201") == 1


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_nobody_asks_through_a_proxy(api: Api, header: str) -> None:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        answer = await client.get(f"{api.url}/metrics", headers={header: "127.0.0.1"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "IP_NOT_ALLOWED")
    assert "x-request-id" in answer.headers


@pytest.mark.parametrize("networks", ["10.0.0.0/8", "", "::1/128"])
async def test_other_networks_are_refused(postgres_url: str, redis_url: str, networks: str) -> None:
    async with opened(postgres_url, redis_url, metrics_allowed_networks=networks) as api:
        answer = await api.client.get("/metrics")
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "IP_NOT_ALLOWED")
