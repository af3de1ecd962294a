"""Many at once for one account, a pool of signers, holders that died, a provider that says 429: all arrive, each with one envelope."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime

import pytest

from offerhub.commands.order_facts import Accepted
from offerhub.storage.users import UserRecord
from tests.chaos import journeys
from tests.chaos.cases import Mode, Policy
from tests.chaos.conftest import Install
from tests.chaos.installation import Installation, together
from tests.e2e.rig import patient_client
from tests.services import TestServices, start_sandbox

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

AMOUNT = 50_000_000
SIGNED = "SELECT intent_id, source, sequence, state FROM attempts ORDER BY sequence"
LEASES = "SELECT intent_id FROM source_leases WHERE source = :source ORDER BY id"


@pytest.mark.slow
async def test_twenty_fundings_of_one_buyer_go_one_after_the_other_in_the_order_they_came(attacked: Installation) -> None:
    buyer, created = await _created(attacked, 20)
    stopped = await attacked.fault("stop_ledger")
    accepted = await together(attacked.accept_funding(order_id) for order_id in created)

    async def all_wait() -> bool:
        return len(await attacked.rows(LEASES, source=buyer.public_key)) == len(created)

    await attacked.until(all_wait)
    came = [row["intent_id"] for row in await attacked.rows(LEASES, source=buyer.public_key)]
    await attacked.heal(stopped)
    await together(attacked.succeeded(one) for one in accepted)
    went = [row["intent_id"] for row in await attacked.rows(SIGNED) if row["source"] == buyer.public_key]
    assert went == came
    await _assert_one_envelope_each(attacked)
    await attacked.assert_settled()


async def test_holder_that_died_before_signing_is_passed_over_and_comes_again(attacked: Installation) -> None:
    """A is gone with the buyer's account in its hand and nothing signed; B goes first, then A."""
    first, second = await _a_holds_b_waits(attacked, "EscrowFunding.prepare_step.fund", Mode.HOLD_AFTER)
    await _make_absent(attacked)
    await attacked.succeeded(second)
    assert await attacked.attempts_of(first.operation.id) == []
    attacked.cases.let_go()
    await attacked.succeeded(first)
    await _assert_one_envelope_each(attacked)
    await attacked.assert_settled()


async def test_holder_that_died_after_signing_is_waited_for(attacked: Installation) -> None:
    """What A has signed may still be sent, so its account is nobody else's, however long A is gone."""
    first, second = await _a_holds_b_waits(attacked, "EscrowFunding.submit_attempt.fund", Mode.HOLD_BEFORE)
    await _make_absent(attacked)
    await asyncio.sleep(2)
    assert await attacked.attempts_of(second.operation.id) == []
    attacked.cases.let_go()
    await together(attacked.succeeded(one) for one in (first, second))
    await _assert_one_envelope_each(attacked)
    await attacked.assert_settled()


@pytest.mark.slow
async def test_trustless_work_refusing_every_third_request_only_costs_time(attacked: Installation) -> None:
    fault = await attacked.fault("tw_rate_limit", probability=0.33, seed=7)
    await together(journeys.life(attacked) for _ in range(3))
    assert await attacked.fired(fault)
    await attacked.heal()
    await _assert_one_envelope_each(attacked)
    await attacked.assert_settled()


@pytest.mark.endurance
@pytest.mark.timeout(1500)
async def test_hundred_orders_at_once_over_eight_signers(install: Install) -> None:
    installation = install()
    installation.settings.update({"PLATFORM_SIGNERS": "8", "WALLET_STOCK": "38"})
    async with installation.running():
        pairs = [(await installation.party(), await installation.party()) for _ in range(10)]
        await together(installation.deposit(buyer, 10 * AMOUNT) for buyer, _ in pairs)
        orders = [await installation.order(buyer, seller, AMOUNT) for buyer, seller in pairs for _ in range(10)]
        accepting = (installation.accept_escrow, installation.accept_funding, installation.accept_release)
        for accept in accepting:
            for accepted in await together(accept(order.id) for order in orders):
                await installation.succeeded(accepted)
        await _assert_one_envelope_each(installation)
        deploys = Counter(row["source"] for row in await installation.rows(SIGNED) if row["intent_id"].endswith("/deploy"))
        assert len(deploys) == 8
        assert max(deploys.values()) <= 2 * min(deploys.values())
        await installation.assert_settled()


@pytest.mark.endurance
@pytest.mark.timeout(1500)
async def test_budget_of_two_processes_never_provokes_a_429(install: Install, services: TestServices) -> None:
    """Ten lives at once want twice what Trustless Work admits in a minute, and no request of theirs is one too many."""
    async with _two_workers(install(), services, requests_per_minute=30) as installation:
        await together(journeys.life(installation) for _ in range(10))
        async with patient_client() as client:
            state = (await client.get(f"{installation.sandbox.url}/control/state")).raise_for_status().json()
        assert state["trustlessWork"]["requests"]["refused"] == 0
        assert state["trustlessWork"]["requests"]["admitted"] >= 60
        await installation.assert_settled()


@pytest.mark.endurance
@pytest.mark.timeout(1500)
async def test_release_goes_before_deploys_that_came_first_over_two_processes(install: Install, services: TestServices) -> None:
    """Two workers share sixteen requests a minute, which Trustless Work counts too."""
    async with _two_workers(install(), services, requests_per_minute=16) as installation:
        _, funded = await _created(installation, 2)
        await together([installation.succeeded(await installation.accept_funding(order_id)) for order_id in funded])
        waiting = await _reserved(installation, 8)
        deploys = [await installation.accept_escrow(order_id) for order_id in waiting]
        releases = [await installation.accept_release(order_id) for order_id in funded]
        last_release = max([await _end(installation, one) for one in releases])
        ends = [await _end(installation, one) for one in deploys]
        assert sum(end < last_release for end in ends) <= 2
        await installation.assert_settled()


@asynccontextmanager
async def _two_workers(installation: Installation, services: TestServices, requests_per_minute: int) -> AsyncIterator[Installation]:
    """In front of a Trustless Work that counts requests too."""
    installation.sandbox = start_sandbox(services, trustless_requests_per_minute=str(requests_per_minute))
    installation.settings["TRUSTLESS_WORK_REQUESTS_PER_MINUTE"] = str(requests_per_minute)
    async with installation.running():
        second_worker = installation.spawn_worker()
        try:
            yield installation
        finally:
            second_worker.send_signal(signal.SIGKILL)
            second_worker.wait()


async def _created(installation: Installation, number: int) -> tuple[UserRecord, list[str]]:
    """Orders of one buyer, each with its escrow on the chain."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, number * AMOUNT)
    order_ids = [(await installation.order(buyer, seller, AMOUNT)).id for _ in range(number)]
    accepted = await together(installation.accept_escrow(order_id) for order_id in order_ids)
    await together(installation.succeeded(one) for one in accepted)
    return buyer, order_ids


async def _end(installation: Installation, accepted: Accepted) -> datetime:
    finished_at = (await installation.succeeded(accepted)).finished_at
    assert finished_at is not None
    return finished_at


async def _reserved(installation: Installation, number: int) -> list[str]:
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, number * AMOUNT)
    return [(await installation.order(buyer, seller, AMOUNT)).id for _ in range(number)]


async def _a_holds_b_waits(installation: Installation, place: str, mode: Mode) -> tuple[Accepted, Accepted]:
    _, (a, b) = await _created(installation, 2)
    installation.cases.set_policy(Policy((mode,), only=place))
    first = await installation.accept_funding(a)

    async def is_held() -> bool:
        return bool(installation.cases.held())

    await installation.until(is_held)
    second = await installation.accept_funding(b)

    async def waits() -> bool:
        return await installation.rows("SELECT 1 FROM source_leases WHERE intent_id = :intent", intent=f"{second.operation.id}/fund") != []

    await installation.until(waits)
    return first, second


async def _make_absent(installation: Installation) -> None:
    """As if the holders of all accounts had not been seen for minutes; those who wait show themselves again at once."""
    async with installation.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE source_leases SET seen_at = seen_at - interval '5 minutes'")


async def _assert_one_envelope_each(installation: Installation) -> None:
    """Without faults of the chain nobody signs twice: no tx_bad_seq, no dead envelope."""
    query = "SELECT intent_id, count(*) AS number FROM attempts WHERE created_at > :since GROUP BY intent_id HAVING count(*) <> 1"
    assert await installation.rows(query, since=installation.began) == []
