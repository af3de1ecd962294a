"""Whatever is asked of orders, in whatever order, at once or twice: each answer is the right one for a state the order was in.

Several orders are led at random through one running installation; a walk is repeated with its seed.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from api.app import create_services
from tests.chaos.conftest import Install
from tests.chaos.installation import Installation, together
from tests.chaos.walk import Walk
from tests.chaos.witness import Witness
from tests.integration.api.conftest import MASTER, serving, settings

WALKS = 8
MANY_WALKS = 40
AT_ONCE = 8


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_random_walks(install: Install) -> None:
    await _walk(install(), [1_000 + number for number in range(WALKS)])


@pytest.mark.endurance
@pytest.mark.timeout(1500)
async def test_many_random_walks(install: Install) -> None:
    await _walk(install(), [secrets.randbelow(10**9) for _ in range(MANY_WALKS)])


async def _walk(installation: Installation, seeds: list[int]) -> None:
    async with installation.running(), _served(installation) as client:
        witness = await Witness.called(installation)
        for first in range(0, len(seeds), AT_ONCE):
            walks = [Walk(seed, installation, witness, client) for seed in seeds[first : first + AT_ONCE]]
            await together(walk.run() for walk in walks)
        await installation.assert_settled()


@asynccontextmanager
async def _served(installation: Installation) -> AsyncIterator[httpx.AsyncClient]:
    """The API of this installation; its worker has the network."""
    services = create_services(settings(installation.postgres_url, installation.redis_url, trustless_work_multi_wasm_hash="00"))
    async with serving(services) as url:
        headers = {"Authorization": f"Bearer {MASTER}"}
        async with httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as client:
            yield client
