"""The real application over real HTTP, on a database and a Redis of its own; a marketplace to fill it; a relay to number its events."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from api.__main__ import ApiServer, server_config
from api.app import create_services
from api.call import Services
from offerhub.settings import Settings
from offerhub.storage.unit_of_work import EVENTS_WRITTEN, Database
from offerhub.stream.nudges import Nudges
from offerhub.stream.relay import Relay
from offerhub.telemetry import logs
from tests.integration.commands.market import Market

NO_LIMITS = {f"rate_limit_{counted}_per_minute": 0 for counted in ("key", "address", "streams", "withdrawals")}
MASTER = "master-" + secrets.token_hex(16)
WEBHOOK_KEY = base64.b64encode(secrets.token_bytes(32)).decode()
logs.configure("WARNING", "json")


def settings(postgres_url: str, redis_url: str, **more: Any) -> Settings:
    values: dict[str, Any] = {
        "port": 0,
        "database_url": postgres_url,
        "redis_url": redis_url,
        "network_passphrase": "Sandbox",
        "horizon_url": "http://127.0.0.1:1",
        "stellar_rpc_url": "http://127.0.0.1:1",
        "usdc_issuer": "GISSUER",
        "trustless_work_url": "http://127.0.0.1:1",
        "trustless_work_api_key": "tw-key",
        "trustless_work_factory": "CFACTORY",
        "trustless_work_wasm_hash": "00",
        "trustless_work_fee_address": "GFEE",
        "temporal_address": "127.0.0.1:1",
        "offerhub_master_key": MASTER,
        "webhook_encryption_key": WEBHOOK_KEY,
        "platform_fee_bps": 250,
        **NO_LIMITS,
    }
    return Settings(**{**values, **more})


@dataclass(frozen=True)
class Api:
    """``client`` has a key with read and write; ``url`` ends in /api/v1."""

    url: str
    client: httpx.AsyncClient
    services: Services
    market: Market

    def acting(self, key: str | None) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, trust_env=False)

    async def key(self, *scopes: str, **more: Any) -> str:
        async with self.acting(MASTER) as master:
            answer = await master.post("/auth/api-keys", json={"name": "test", "scopes": list(scopes), **more})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["data"]["apiKey"])


@asynccontextmanager
async def serving(services: Services) -> AsyncIterator[str]:
    server = ApiServer(server_config(services), services)
    server.capture_signals = suppress  # type: ignore[method-assign,assignment] # the test run keeps its own
    running = asyncio.create_task(server.serve())
    while not server.started:
        assert not running.done(), "the server did not start"
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        server.should_exit = True
        await running


@asynccontextmanager
async def relaying(postgres_url: str, redis_url: str) -> AsyncIterator[None]:
    """A relay as the worker runs it."""
    redis = Redis.from_url(redis_url)
    database = Database(postgres_url)
    nudges = Nudges(redis, [EVENTS_WRITTEN])
    running = asyncio.create_task(Relay(database, redis, nudges).run())
    try:
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        await nudges.close()
        await redis.aclose()
        await database.close()


@asynccontextmanager
async def opened(postgres_url: str, redis_url: str, **more: Any) -> AsyncIterator[Api]:
    services = create_services(settings(postgres_url, redis_url, **more))
    market = Market(services.database)
    await market.open(stock=8)
    async with serving(services) as url:
        api = Api(url, httpx.AsyncClient(base_url=url, timeout=30, trust_env=False), services, market)
        api.client.headers["Authorization"] = f"Bearer {await api.key('read', 'write')}"
        yield api
        await api.client.aclose()


@pytest.fixture
async def api(postgres_url: str, redis_url: str) -> AsyncIterator[Api]:
    async with opened(postgres_url, redis_url) as running:
        yield running


@pytest.fixture
async def relay(postgres_url: str, redis_url: str) -> AsyncIterator[None]:
    async with relaying(postgres_url, redis_url):
        yield
