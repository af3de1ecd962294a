"""A server is killed at a chosen moment of a release or a withdrawal and comes back: the work goes on by itself, nothing twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from offerhub.storage.users import UserRecord
from tests.chaos.cases import Mode, Policy
from tests.chaos.installation import Installation, together
from tests.chaos.servers import KillableServers
from tests.services import TestServices

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

AMOUNT = 50_000_000
AWAY_S = 1.5
MOMENTS = (
    ("Release.prepare_step.release", Mode.HOLD_BEFORE),
    ("Release.sign_step.release", Mode.HOLD_AFTER),
    ("Release.submit_attempt.release", Mode.HOLD_AFTER),
    ("Withdrawal.submit_attempt.pay_out", Mode.HOLD_BEFORE),
    ("Withdrawal.book_withdrawal", Mode.HOLD_BEFORE),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fragile(services: TestServices, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Installation, KillableServers]]:
    servers = await asyncio.to_thread(KillableServers.start, services)
    async with AsyncExitStack() as stack:
        template = await asyncio.to_thread(servers.postgres.migrate)
        url = stack.enter_context(servers.postgres.database(template))
        folder = tmp_path_factory.mktemp("fragile")
        installation = Installation(url, servers.redis_url, servers.temporal_address, servers.sandbox, folder, namespace="offerhub")
        await stack.enter_async_context(installation.running())
        yield installation, servers


@pytest.mark.slow
async def test_all_of_them_at_once(fragile: tuple[Installation, KillableServers]) -> None:
    """Everything but the disk is gone in the middle of a release and of a withdrawal."""
    await _killed_at(*fragile, fragile[1].names, MOMENTS[2])
    await _killed_at(*fragile, fragile[1].names, MOMENTS[3])


@pytest.mark.endurance
@pytest.mark.parametrize("name", ["postgres", "redis", "temporal", "sandbox"])
async def test_each_at_every_moment(fragile: tuple[Installation, KillableServers], name: str) -> None:
    for moment in MOMENTS:
        await _killed_at(*fragile, [name], moment)


async def _killed_at(installation: Installation, servers: KillableServers, names: list[str], moment: tuple[str, Mode]) -> None:
    """Two run through the moment's verb; the first to come by is held there while the servers die and for as long as they are away."""
    place, mode = moment
    installation.parties.clear()
    users = [await _ready(installation, place) for _ in range(2)]
    installation.cases.forget()
    installation.cases.set_policy(Policy((mode,), only=place))
    accepted = [await _accept(installation, one) for one in users]

    async def is_held() -> bool:
        return bool(installation.cases.held())

    await installation.until(is_held)
    for name in names:
        await asyncio.to_thread(servers.kill, name)
    installation.cases.set_policy(Policy(()))
    installation.cases.let_go()
    await asyncio.sleep(AWAY_S)
    for name in names:
        await asyncio.to_thread(servers.start_again, name)
    # The test's own connections have died too.
    await installation.database.engine.dispose()
    await together(installation.succeeded(one) for one in accepted)
    await installation.assert_settled()


async def _ready(installation: Installation, place: str) -> tuple[UserRecord, str]:
    """A user about to withdraw, or one whose order is about to be released."""
    user = await installation.party()
    await installation.deposit(user, AMOUNT)
    if place.startswith("Withdrawal"):
        return user, ""
    order = await installation.order(user, await installation.party(), AMOUNT)
    await installation.funded(order.id)
    return user, order.id


async def _accept(installation: Installation, ready: tuple[UserRecord, str]) -> Any:
    user, order_id = ready
    if order_id:
        return await installation.accept_release(order_id)
    return await installation.accept_withdrawal(user, await installation.payee(), AMOUNT)
