"""Every activity on every verb's way goes wrong in every way. The cases are made of what the worker itself comes by:
a new step or activity is sabotaged without a test being written, and one that no journey reaches fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from temporalio.activity import _Definition

import worker
from offerhub.domain.plans import Action
from offerhub.settings import Settings
from tests.chaos import journeys, verbs
from tests.chaos.cases import Mode, Policy
from tests.chaos.conftest import Install
from tests.chaos.installation import Installation, together
from tests.integration.api.conftest import settings

ROLES = ("orders", "trustless", "custody", "streams")
QUICK = (Mode.FAIL_BEFORE, Mode.FAIL_AFTER, Mode.TWICE, Mode.TWO_AT_ONCE)
AT_ONCE = 3
# Temporal notices a time-out or a death only after seconds: several installations share the places.
SLOW = (Mode.TIME_OUT_AFTER, Mode.KILL_BEFORE, Mode.KILL_AFTER)
SHARES = 4
DEATHS_PATIENCE_S = 900.0


@pytest.mark.timeout(900)
async def test_every_activity_goes_wrong_once(install: Install) -> None:
    """The everyday run: one of the quick ways of going wrong at each place, three lives at once."""
    await _sabotage([install()], Policy(QUICK, one_each=True), lives=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", QUICK)
async def test_every_activity(install: Install, mode: Mode, record_property: Callable[[str, object], None]) -> None:
    record_property("cases", await _sabotage([install()], Policy((mode,)), lives=AT_ONCE))


@pytest.mark.endurance
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("mode", SLOW)
async def test_every_activity_through_time_outs_and_deaths(
    install: Install, mode: Mode, record_property: Callable[[str, object], None]
) -> None:
    installations = [install() for _ in range(SHARES)]
    for installation in installations:
        installation.patience_s = DEATHS_PATIENCE_S
    record_property("cases", await _sabotage(installations, Policy((mode,)), lives=1))


async def _sabotage(installations: list[Installation], policy: Policy, lives: int) -> int:
    """Returns how many cases there were."""
    # Without this every transaction would be settled by the answer to its submission.
    await installations[0].fault("timeout_but_applies", probability=0.5, seed=1)
    for share, installation in enumerate(installations):
        installation.cases.set_policy(replace(policy, share=share, shares=len(installations)))
    try:
        await together(_lead_through(installation, lives) for installation in installations)
    finally:
        await installations[0].heal()
    cases = {case for installation in installations for case in installation.cases.cases()}
    places = {place for place, _ in cases}
    assert _registered() - {place.activity for place in places} == set()
    assert _steps() - {place.action for place in places} == set()
    return len(cases)


async def _lead_through(installation: Installation, lives: int) -> None:
    async with installation.running():
        ways = [*[journeys.life] * lives, journeys.refusals, journeys.mismatch, verbs.every_verb]
        await together(way(installation) for way in ways)
        await installation.assert_settled()
        await journeys.inspection(installation)
        await installation.until(lambda: _owes_nothing(installation))


async def _owes_nothing(installation: Installation) -> bool:
    return not installation.cases.owed()


def _steps() -> set[str]:
    return {action.value for action in Action}


def _registered() -> set[str]:
    adapters = worker.build_adapters(_some_settings())
    found = [activity for role in ROLES for activity in worker.activities_of_role(role, adapters)[1]]
    return {str(_Definition.must_from_callable(activity).name) for activity in found}


def _some_settings() -> Settings:
    return settings("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1", wallet_encryption_key="A" * 43 + "=")
