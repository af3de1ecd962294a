"""Custody trusts nobody: what the rest of the house hands over for signing is compared with our own rows once more."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from temporalio.testing import ActivityEnvironment

import worker
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.messages import PlannedStep
from sandbox.faults.drafts import Draft
from sandbox.faults.hostile import MUTATIONS, MutationName
from tests.chaos.cases import Mode, Policy
from tests.chaos.installation import Installation
from tests.integration.api.conftest import settings

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(280)]

AMOUNT = 50_000_000
BENT: tuple[MutationName, ...] = (
    "other_amount",
    "other_contract",
    "hidden_sub_invocation",
    "larger_footprint",
    "other_source",
    "other_sequence",
    "memo",
)


async def test_what_a_hostile_worker_hands_over_is_not_signed(attacked: Installation) -> None:
    """The worker is held between asking and signing; in its place the test asks custody."""
    buyer, seller = await attacked.party(), await attacked.party()
    await attacked.deposit(buyer, AMOUNT)
    order = await attacked.order(buyer, seller, AMOUNT)
    await attacked.succeeded(await attacked.accept_escrow(order.id))
    attacked.cases.set_policy(Policy((Mode.HOLD_AFTER,), only="EscrowFunding.prepare_step.fund"))
    accepted = await attacked.accept_funding(order.id)

    async def is_held() -> bool:
        return bool(attacked.cases.held())

    await attacked.until(is_held)
    async with _activities(attacked) as run:
        honest = await run("prepare_step", PlannedStep(f"{accepted.operation.id}/fund", "fund", "fund the escrow", "horizon"))
        for mutation in BENT:
            draft = Draft.read(honest.envelope)
            MUTATIONS[mutation](draft)
            with pytest.raises(IntentMismatchError):
                await run("sign_step", replace(honest, envelope=draft.text()))
        with pytest.raises(LookupError):
            await run("sign_step", replace(honest, intent_id="op_none/fund"))
        assert await attacked.attempts_of(accepted.operation.id) == []
        assert len(await attacked.events_of("signing.refused", accepted.operation.id)) == len(BENT)
        signed = await run("sign_step", honest)
        assert await run("sign_step", honest) == signed
    attacked.cases.let_go()
    await attacked.succeeded(accepted)
    [attempt] = await attacked.attempts_of(accepted.operation.id)
    assert (attempt.id, attempt.state) == (signed.attempt_id, "CONFIRMED")
    await attacked.assert_settled()


@asynccontextmanager
async def _activities(installation: Installation) -> AsyncIterator[Callable[[str, object], Awaitable[Any]]]:
    """The worker's own, by their names, with the installation's keys."""
    environment = {name.lower(): value for name, value in installation.sandbox.environment.items()}
    configured = settings(
        installation.postgres_url,
        installation.redis_url,
        **environment,
        wallet_encryption_key=installation.secrets()[0],
        trustless_work_requests_per_minute=0,
    )
    adapters = worker.build_adapters(configured)
    known = {one.__name__: one for role in ("trustless", "custody") for one in worker.activities_of_role(role, adapters)[1]}
    try:
        yield lambda name, given: ActivityEnvironment().run(known[name], given)
    finally:
        await adapters.close()
