"""Every activity on every verb's way goes wrong in every way. The cases are made of what the worker itself comes by:
a new step or activity is sabotaged without a test being written, and one that no journey reaches fails here.
"""

from __future__ import annotations

import pytest
from temporalio.activity import _Definition

import worker
from offerhub.domain.plans import OperationKind, plan
from offerhub.domain.states import MilestoneState
from offerhub.settings import Settings
from tests.chaos import journeys
from tests.chaos.cases import CaseFolder, Mode, Policy
from tests.chaos.conftest import Install
from tests.chaos.installation import Installation, together
from tests.integration.api.conftest import settings

ROLES = ("orders", "trustless", "custody", "streams")
QUICK = (Mode.FAIL_BEFORE, Mode.FAIL_AFTER, Mode.TWICE, Mode.TWO_AT_ONCE)
MATRIX = (*QUICK, Mode.TIME_OUT_AFTER, Mode.KILL_BEFORE, Mode.KILL_AFTER)
AT_ONCE = 3


@pytest.mark.timeout(120)
async def test_every_activity_goes_wrong_once(install: Install) -> None:
    """The everyday run: one of the quick ways of going wrong at each place, three lives at once."""
    await _sabotage(install(), Policy(QUICK, one_each=True), lives=1)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("mode", MATRIX)
async def test_every_activity(install: Install, mode: Mode) -> None:
    await _sabotage(install(), Policy((mode,)), lives=AT_ONCE)


async def _sabotage(installation: Installation, policy: Policy, lives: int) -> None:
    installation.cases.set_policy(policy)
    # Without this every transaction would be settled by the answer to its submission.
    await installation.fault("timeout_but_applies", probability=0.5, seed=1)
    try:
        async with installation.running():
            await together([*(journeys.life(installation) for _ in range(lives)), journeys.refusals(installation)])
            await installation.until(lambda: _covers_everything(installation))
            await installation.assert_settled()
    finally:
        await installation.heal()
    _assert_complete(installation.cases)
    print(f"\n{len(installation.cases.cases())} cases at {len(installation.cases.places())} places, {installation.deaths} deaths")


async def _covers_everything(installation: Installation) -> bool:
    return not _missing(installation.cases) and not installation.cases.owed()


def _assert_complete(cases: CaseFolder) -> None:
    assert _missing(cases) == set()
    assert cases.owed() == set()


def _missing(cases: CaseFolder) -> set[str]:
    """Registered activities and planned steps that no case was made of."""
    reached = {place for place, _ in cases.cases()}
    return (_registered() - {place.activity for place in reached}) | (_steps() - {place.action for place in reached})


def _steps() -> set[str]:
    return {step.action.value for kind in OperationKind for step in plan(kind, [MilestoneState.OPEN])}


def _registered() -> set[str]:
    adapters = worker.build_adapters(_some_settings())
    found = [activity for role in ROLES for activity in worker.activities_of_role(role, adapters)[1]]
    return {_Definition.must_from_callable(activity).name for activity in found}


def _some_settings() -> Settings:
    return settings("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", wallet_encryption_key="A" * 43 + "=")
