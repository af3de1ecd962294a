"""Servers are killed in the middle of every verb and come back: the work goes on by itself, nothing twice."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
import pytest_asyncio

from offerhub.domain.plans import Action
from offerhub.storage.users import UserRecord
from tests.chaos import mid_verb
from tests.chaos.cases import Mode, Place, Policy
from tests.chaos.installation import Installation, together
from tests.chaos.servers import KillableServers
from tests.services import TestServices

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

AMOUNT = 50_000_000
AWAY_S = 1.5
LOOK_S = 0.1
MOMENTS = (("Release.submit_attempt.release", Mode.HOLD_AFTER), ("Withdrawal.submit_attempt.pay_out", Mode.HOLD_BEFORE))


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
    for moment in MOMENTS:
        await _killed_at(*fragile, fragile[1].names, moment)


@pytest.mark.endurance
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", ["postgres", "redis", "temporal", "sandbox"])
async def test_each_at_every_activity_of_every_verb(
    fragile: tuple[Installation, KillableServers], name: str, record_property: Callable[[str, object], None]
) -> None:
    """The moments are made of what the worker itself comes by, so that a new step is one of them."""
    places: set[Place] = set()
    for workflow, begun in mid_verb.VERBS:
        places |= await _killed_all_along(*fragile, name, (workflow, begun))
    record_property("cases", len(places))
    assert {action.value for action in Action} - {place.action for place in places} == set()


async def _killed_all_along(
    installation: Installation, servers: KillableServers, name: str, verb: tuple[str, mid_verb.Begun]
) -> set[Place]:
    """Whatever activity the verb's workflow comes by, once: the server dies before it or after it."""
    workflow, begun = verb
    installation.parties.clear()
    accept = await begun(installation)
    installation.cases.forget()
    installation.cases.set_policy(
        Policy((Mode.HOLD_BEFORE, Mode.HOLD_AFTER), one_each=True, only=f"{workflow}.", seed=zlib.crc32(name.encode()))
    )
    await accept()
    limit = time.monotonic() + installation.patience_s
    while not await installation.is_quiet():
        if installation.cases.held():
            await _die_and_return(installation, servers, [name])
        assert time.monotonic() < limit, f"{workflow} got stuck when {name} died:\n{installation.log.read_text()[-8000:]}"
        await asyncio.sleep(LOOK_S)
    await installation.assert_settled()
    installation.cases.set_policy(Policy(()))
    return {place for place, _ in installation.cases.cases()}


async def _die_and_return(installation: Installation, servers: KillableServers, names: list[str]) -> None:
    """Who is held goes on while they are away."""
    for name in names:
        await asyncio.to_thread(servers.kill, name)
    installation.cases.let_go()
    await asyncio.sleep(AWAY_S)
    for name in names:
        await asyncio.to_thread(servers.start_again, name)
    # The test's own connections have died too.
    await installation.database.engine.dispose()


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
    installation.cases.set_policy(Policy(()))
    await _die_and_return(installation, servers, names)
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
