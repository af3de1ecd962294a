"""A worker that is told to stop ends, whatever Temporal's core does at its end."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest
from temporalio import activity
from temporalio.bridge.worker import Worker as Core
from temporalio.client import Client
from temporalio.worker import Worker

import worker as program


@activity.defn
async def nothing() -> None:
    pass


@pytest.mark.parametrize("returns", [True, False])
async def test_it_ends_though_the_core_never_returns(temporal_address: str, monkeypatch: pytest.MonkeyPatch, *, returns: bool) -> None:
    client = await Client.connect(temporal_address, namespace="offerhub")
    stopped = Worker(client, task_queue=f"stopped-{uuid4().hex}", activities=[nothing])
    running = asyncio.create_task(stopped.run())
    if not returns:
        monkeypatch.setattr(program, "STOP_LIMIT_S", 3.0)
        monkeypatch.setattr(Core, "finalize_shutdown", _never)
    async with asyncio.timeout(60):
        await program.shut_down(stopped, running)
        await running


async def _never(_core: Core) -> None:
    await asyncio.get_running_loop().create_future()
