"""The API is killed at any moment of accepting a withdrawal; the client repeats its request with the same key until it is answered."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from contextlib import suppress
from typing import Any

import httpx
import pytest

from devstack import ports
from devstack.choices import CHECKOUT
from offerhub.domain.money import format_amount
from tests.chaos.installation import Installation
from tests.integration.api.conftest import MASTER

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900), pytest.mark.slow]

AMOUNT = 10_000_000
ROUNDS = 12
LONGEST_S = 0.5


async def test_a_request_repeated_over_dead_servers_is_one_withdrawal(attacked: Installation) -> None:
    chance = random.Random(3)
    user, payee = await attacked.party(), await attacked.payee()
    await attacked.deposit(user, ROUNDS * AMOUNT)
    wish = {"userId": user.id, "amount": format_amount(AMOUNT), "destinationType": "stellar", "destination": payee}
    api = await _started(attacked)
    answers: set[str] = set()
    try:
        for number in range(ROUNDS):
            asking = asyncio.create_task(_ask(api.port, wish, f"chaos-{number}"))
            await asyncio.sleep(chance.random() * LONGEST_S)
            api.process.kill()
            api.process.wait()
            with suppress(httpx.HTTPError):
                await asking
            api = await _started(attacked)
            answer = await _ask(api.port, wish, f"chaos-{number}")
            assert answer.status_code in (201, 202), answer.text
            answers.add(answer.json()["data"]["id"])
    finally:
        api.process.kill()
        api.process.wait()
    await attacked.assert_settled()
    stored = await attacked.rows("SELECT id FROM withdrawals WHERE user_id = :user", user=user.id)
    assert {row["id"] for row in stored} == answers
    assert len(answers) == ROUNDS
    assert await attacked.on_chain(payee) == ROUNDS * AMOUNT


class _Api:
    def __init__(self, installation: Installation) -> None:
        self.port = ports.any_free()
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TEMPORAL_")},
            **installation.sandbox.environment,
            "DATABASE_URL": installation.postgres_url,
            "REDIS_URL": installation.redis_url,
            "TEMPORAL_ADDRESS": installation.temporal_address,
            "TEMPORAL_NAMESPACE": installation.namespace,
            "OFFERHUB_MASTER_KEY": MASTER,
            "WEBHOOK_ENCRYPTION_KEY": installation.webhook_key,
            "RATE_LIMIT_WITHDRAWALS_PER_MINUTE": "0",
            "PORT": str(self.port),
        }
        log = installation.folder / "api.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen([sys.executable, "-m", "api"], cwd=CHECKOUT, env=environment, stdout=output, stderr=output)


async def _started(installation: Installation) -> _Api:
    api = _Api(installation)

    async def answers() -> bool:
        assert api.process.poll() is None, "the API ended by itself"
        with suppress(httpx.HTTPError):
            async with httpx.AsyncClient(trust_env=False) as client:
                return (await client.get(f"http://127.0.0.1:{api.port}/api/v1/health")).status_code == httpx.codes.OK
        return False

    await installation.until(answers)
    return api


async def _ask(port: int, wish: dict[str, Any], key: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {MASTER}", "Idempotency-Key": key}
    async with httpx.AsyncClient(trust_env=False, timeout=40) as client:
        return await client.post(f"http://127.0.0.1:{port}/api/v1/withdrawals", json=wish, headers=headers)
