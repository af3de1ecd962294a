"""What the instance says of itself while what it stands on is away, and which limits it says it has."""

from __future__ import annotations

import asyncio
import signal

import httpx
import pytest

from api.app import create_services
from api.middleware import MAX_HEAD_BYTES
from api.rate_limit import WINDOW_S
from api.schemas.instance import Config, DetailedHealth
from api.strict_json import MAX_BODY_BYTES, MAX_DEPTH
from offerhub.settings import Settings
from tests.integration.api.conftest import Api, opened, serving, settings
from tests.integration.api.test_rate_limit import OwnRedis, own_redis
from tests.integration.api.test_wire import refused

__all__ = ["own_redis"]
NO_DATABASE = "postgresql://nobody@127.0.0.1:1/none"


async def health(api: Api) -> tuple[int, DetailedHealth]:
    # A report is remembered for a second.
    await asyncio.sleep(1.05)
    async with api.acting(None) as client:
        answer = await client.get("/health/detailed")
    return answer.status_code, DetailedHealth.model_validate(answer.json()["data"])


async def test_without_a_database_it_lives_says_so_and_refuses_politely(api: Api, redis_url: str) -> None:
    services = create_services(settings(NO_DATABASE, redis_url, rate_limit_address_per_minute=100))
    async with serving(services) as url:
        lost = Api(url, api.client, services, api.market)
        status, report = await health(lost)
        assert (status, report.status, report.checks.database.status) == (503, "down", "down")
        assert report.checks.redis.status == "ok"
        async with lost.acting(None) as nobody:
            assert (await nobody.get("/health")).status_code == 200
            assert (await nobody.get("/config")).status_code == 200
            refused(await nobody.get("/me"), 401, "UNAUTHORIZED")
        async with lost.acting(f"ohk_test_{'0' * 26}_{'a' * 64}") as anybody:
            answer = await anybody.get("/me")
            refused(answer, 503, "PROVIDER_UNAVAILABLE")
            assert answer.headers["retry-after"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_without_redis_it_is_degraded_and_works(postgres_url: str, own_redis: OwnRedis, number: signal.Signals) -> None:
    async with opened(postgres_url, own_redis.url, rate_limit_key_per_minute=1_000) as api:
        assert (await health(api))[1].checks.redis.status == "ok"
        own_redis.process.send_signal(number)
        _, report = await health(api)
        assert report.checks.redis.status == "down"
        assert report.checks.redis.message
        assert report.checks.database.status == "ok"
        answer = await api.client.post("/users", json={"externalUserId": "u"})
        assert (answer.status_code, answer.headers["x-ratelimit-limit"]) == (201, "1000")


async def test_the_limits_it_says_are_the_limits_it_has(postgres_url: str, redis_url: str) -> None:
    async with opened(postgres_url, redis_url, rate_limit_key_per_minute=7, min_withdrawal="2.50") as api:
        async with api.acting(None) as nobody:
            config = Config.model_validate((await nobody.get("/config")).json()["data"])
        limits, rates = config.limits, config.rate_limits
        assert (limits.max_body_bytes, limits.max_body_depth, limits.max_head_bytes) == (MAX_BODY_BYTES, MAX_DEPTH, MAX_HEAD_BYTES)
        assert limits.min_withdrawal == "2.50"
        assert (rates.key_per_minute, rates.address_per_minute, rates.streams_per_minute, rates.withdrawals_per_user_per_minute) == (
            7,
            0,
            0,
            0,
        )
        assert WINDOW_S == 60, "what is said to be per minute"
        assert (await api.client.get("/me")).headers["x-ratelimit-limit"] == "7"


async def test_features_are_those_it_is_configured_for(postgres_url: str, redis_url: str) -> None:
    configured = {
        "trustless_work_multi_wasm_hash": "00",
        "make_buyer_whole": True,
        "dispute_default_decision": "FULL_REFUND",
        "ledger_adjustments_enabled": True,
    }
    features = []
    for more in ({}, configured):
        services = create_services(settings(postgres_url, redis_url, **more))
        async with serving(services) as url, httpx.AsyncClient(trust_env=False, timeout=60) as client:
            features.append(set(Config.model_validate((await client.get(f"{url}/config")).json()["data"]).features))
    added = {"multi_release_escrow", "make_buyer_whole", "dispute_default_decision", "ledger_adjustments"}
    assert features[1] - features[0] == added
    assert {"disputes", "webhooks"} <= features[0]


def test_the_defaults_are_those_of_the_contract() -> None:
    defaults = {name: field.default for name, field in Settings.model_fields.items() if name.startswith("rate_limit")}
    assert defaults == {
        "rate_limit_key_per_minute": 100,
        "rate_limit_address_per_minute": 100,
        "rate_limit_streams_per_minute": 100,
        "rate_limit_withdrawals_per_minute": 5,
    }
