"""The classic double payment: hundreds of withdrawals while the network misbehaves at random and the worker is killed again and again."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

from offerhub.commands.withdrawals import AcceptedWithdrawal
from offerhub.storage.users import UserRecord
from tests.chaos.conftest import Install
from tests.chaos.installation import Installation, together

SUBMIT = r"^POST /transactions$"
READ = r"^GET /(transactions|accounts|ledgers)"
# Each hits by chance; together about every third submission goes wrong, and every tenth question.
WEATHER: tuple[dict[str, Any], ...] = (
    {"kind": "accept_then_drop", "path": SUBMIT, "probability": 0.07},
    {"kind": "timeout_but_applies", "probability": 0.07},
    {"kind": "empty_504", "path": SUBMIT, "probability": 0.03},
    {"kind": "try_again_later", "path": SUBMIT, "probability": 0.04, "waitSeconds": 0.2},
    {"kind": "server_error", "path": SUBMIT, "probability": 0.03, "applies": True},
    {"kind": "null_extras", "path": SUBMIT, "probability": 0.03, "applies": True},
    {"kind": "rate_limited", "path": SUBMIT, "probability": 0.02},
    {"kind": "refuse_transaction", "code": "tx_bad_seq", "probability": 0.02},
    {"kind": "refuse_transaction", "code": "tx_too_late", "probability": 0.02},
    {"kind": "refuse_transaction", "code": "op_line_full", "probability": 0.03},
    {"kind": "expire_envelopes", "probability": 0.01},
    {"kind": "server_error", "path": READ, "probability": 0.05},
    {"kind": "html_bad_gateway", "path": READ, "probability": 0.03},
    {"kind": "stale_replica", "path": READ, "ledgers": 3, "probability": 0.05},
)
DEPOSIT = 10_000_000_000


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_eighteen_withdrawals_in_bad_weather(install: Install) -> None:
    await _withdraw(install(), users=6, each=3, kill_every_s=12.0)


@pytest.mark.endurance
@pytest.mark.timeout(1500)
async def test_thousand_withdrawals_in_bad_weather(install: Install, record_property: Callable[[str, object], None]) -> None:
    installation = install()
    record_property("dead envelopes", await _withdraw(installation, users=40, each=25, kill_every_s=15.0))
    record_property("kills", installation.deaths)


async def _withdraw(installation: Installation, users: int, each: int, kill_every_s: float) -> int:
    """Returns how many envelopes died."""
    chance = random.Random(20)
    installation.patience_s = 1_400.0
    installation.settings["WALLET_STOCK"] = str(min(users, 38))
    async with installation.running():
        parties = [await installation.party() for _ in range(users)]
        payees = await together(installation.payee() for _ in range(4))
        await together(installation.deposit(user, DEPOSIT) for user in parties)
        for seed, fault in enumerate(WEATHER):
            await installation.fault(**fault, seed=seed)
        disturbing = asyncio.create_task(_disturb(installation, kill_every_s, chance))
        accepted: list[tuple[UserRecord, str, int, AcceptedWithdrawal]] = []
        for _ in range(each):
            for user in parties:
                payee, amount = chance.choice(payees), chance.randint(1, 300_000_000)
                accepted.append((user, payee, amount, await installation.accept_withdrawal(user, payee, amount)))
            await installation.until(lambda: _at_most_under_way(installation, users))
        await installation.until(lambda: _at_most_under_way(installation, 0))
        disturbing.cancel()
        with suppress(asyncio.CancelledError):
            await disturbing
        await installation.heal()
        await installation.assert_settled()
        await _assert_paid_once(installation, accepted, payees)
        return len(await installation.rows("SELECT id FROM attempts WHERE state = 'DEAD'"))


async def _disturb(installation: Installation, kill_every_s: float, chance: random.Random) -> None:
    """Kill the worker some time after it was up again; now and then so much time passes that what is lost by then is dead."""
    while True:
        await asyncio.sleep(kill_every_s * (0.5 + chance.random()))
        if chance.random() < 0.5:
            await installation.pass_time(130)
        await installation.kill_and_see_it_return()


async def _at_most_under_way(installation: Installation, number: int) -> bool:
    rows = await installation.rows("SELECT count(*) AS number FROM operations WHERE status NOT IN ('SUCCEEDED', 'FAILED')")
    return int(rows[0]["number"]) <= number


async def _assert_paid_once(
    installation: Installation, accepted: list[tuple[UserRecord, str, int, AcceptedWithdrawal]], payees: list[str]
) -> None:
    """Zero doubled, zero lost: what each one received and still has is what was withdrawn, to the stroop."""
    states = {row["id"]: row["state"] for row in await installation.rows("SELECT id, state FROM withdrawals")}
    paid = [one for one in accepted if states[one[3].withdrawal.id] == "WITHDRAWAL_COMPLETED"]
    assert set(states.values()) <= {"WITHDRAWAL_COMPLETED", "WITHDRAWAL_FAILED"}
    assert len(states) == len(accepted)
    assert len(paid) > len(accepted) / 2
    for payee in payees:
        assert await installation.on_chain(payee) == sum(amount for _, to, amount, _ in paid if to == payee)
    for user in installation.parties:
        left = DEPOSIT - sum(amount for owner, _, amount, _ in paid if owner is user)
        assert await installation.balance(f"user:{user.id}:available") == left == await installation.on_chain(str(user.public_key))
