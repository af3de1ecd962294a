"""The health check of a worker's container, asked about real pollers on a real Temporal."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.client import Client
from temporalio.worker import Worker

from deploy import worker_health
from offerhub.settings import Settings
from tests.architecture.source import ROOT
from tests.deploy.test_environment import values

HOST = "c0ffee"


@activity.defn
async def nothing() -> None:
    pass


def settings(address: str, roles: str) -> Settings:
    network = {name.lower(): value for name, value in values((ROOT / "deploy" / "sandbox.env").read_text()).items()}
    return Settings(database_url="x", redis_url="x", temporal_address=address, worker_roles=roles, **network)  # type: ignore[arg-type]  # text


@pytest.fixture
def queues(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    own = {role: f"{queue}-{uuid4().hex}" for role, queue in worker_health.QUEUES.items()}
    monkeypatch.setattr(worker_health, "QUEUES", own)
    return own


async def silent_once_polled(address: str, roles: str, host: str) -> list[str]:
    """A first poll takes a moment to be seen."""
    silent = await worker_health.silent_roles(settings(address, roles), host)
    for _ in range(600):
        if not silent:
            break
        await asyncio.sleep(0.1)
        silent = await worker_health.silent_roles(settings(address, roles), host)
    return silent


async def test_only_the_roles_that_this_host_polls_are_well(
    temporal_address: str, queues: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await Client.connect(temporal_address, namespace="offerhub", identity=f"1@{HOST}")
    async with Worker(client, task_queue=queues["custody"], activities=[nothing]):
        assert await silent_once_polled(temporal_address, "custody", HOST) == []
        assert await worker_health.silent_roles(settings(temporal_address, "custody,streams"), HOST) == ["streams"]
        assert await worker_health.silent_roles(settings(temporal_address, "custody"), "another") == ["custody"]
        monkeypatch.setattr(worker_health, "SILENCE", timedelta(0))
        assert await worker_health.silent_roles(settings(temporal_address, "custody"), HOST) == ["custody"]


async def test_an_unreachable_temporal_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        await worker_health.silent_roles(settings("127.0.0.1:1", "custody"), HOST)
