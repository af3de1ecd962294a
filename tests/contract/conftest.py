"""A running stack as `make up` leaves it, used by nothing but HTTP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from devstack import sandbox
from tests.e2e.outside import OutsideAccount
from tests.services import SandboxServer


@dataclass(frozen=True)
class Deployment:
    """``payee`` is an account outside that can be paid; ``read_only_key`` may not change anything."""

    api_url: str
    api_key: str
    read_only_key: str
    master_key: str
    sandbox_url: str
    payee: str


@pytest.fixture
async def deployment(stack: dict[str, Any]) -> Deployment:
    port = int(stack["sandboxUrl"].rpartition(":")[2])
    described = sandbox.state(port)
    network = SandboxServer(stack["sandboxUrl"], described, sandbox.server_environment(port, described))
    payee = await OutsideAccount.open(network)
    async with httpx.AsyncClient(headers={"Authorization": f"Bearer {stack['masterKey']}"}, trust_env=False, timeout=60) as master:
        made = await master.post(f"{stack['apiUrl']}/auth/api-keys", json={"name": "contract", "scopes": ["read"]})
    read_only = made.raise_for_status().json()["data"]["apiKey"]
    return Deployment(stack["apiUrl"], stack["apiKey"], read_only, stack["masterKey"], stack["sandboxUrl"], payee.address)
