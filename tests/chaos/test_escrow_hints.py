"""No hint is proof on an escrow's way either: the buyer pays into the contract and out of it once, whatever was answered."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from offerhub.commands.order_facts import Accepted
from offerhub.domain import ledger
from tests.chaos.installation import Installation, together

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900)]

AMOUNT = 60_000_000
SUBMIT = r"^POST /transactions$"
FUND, RELEASE = "fund_escrow", "release_funds"
ACCEPT: dict[str, Callable[[Installation, str], Awaitable[Accepted]]] = {
    FUND: Installation.accept_funding,
    RELEASE: Installation.accept_release,
}
STEPS = {FUND: 1, RELEASE: 3}
# Each alone, on the first submission of the envelope. The first two have applied, the others could still.
HINTS: dict[str, dict[str, Any]] = {
    "504": {"kind": "timeout_but_applies"},
    "no answer": {"kind": "accept_then_drop", "path": SUBMIT},
    "504 of a proxy": {"kind": "empty_504", "path": SUBMIT},
    "tx_bad_seq": {"kind": "refuse_transaction", "code": "tx_bad_seq"},
    "tx_too_late": {"kind": "refuse_transaction", "code": "tx_too_late"},
}
# Longer than Trustless Work's envelopes are good for, and until what cannot be proven by then is UNKNOWN.
EXPIRED_S, OVERDUE_S = 130, 130 + 300


@pytest.mark.slow
async def test_no_answer_to_a_submission_is_taken_as_proof(attacked: Installation) -> None:
    await together(_goes_through(attacked, function, hint) for function in ACCEPT for hint in HINTS)
    await attacked.assert_settled()


@pytest.mark.slow
async def test_not_found_is_not_proof(attacked: Installation) -> None:
    """The answer is lost and Horizon shows nothing for seconds although the money has moved."""
    ready = [(function, *await _ready(attacked, function)) for function in ACCEPT]
    delay = await attacked.fault("ingestion_delay", seconds=4.0)
    lost = [await _fault(attacked, function, buyer, "no answer") for function, buyer, _ in ready]
    accepted = [await ACCEPT[function](attacked, order_id) for function, _, order_id in ready]
    await together(attacked.succeeded(one) for one in accepted)
    await attacked.heal(delay)
    assert [await attacked.fired(one) for one in lost] == [1, 1]
    for (function, *_), one in zip(ready, accepted, strict=True):
        await _assert_one_envelope_for_each_step(attacked, function, one)
    await attacked.assert_settled()


@pytest.mark.slow
async def test_new_envelope_only_after_proof_of_death(attacked: Installation) -> None:
    """Every node had accepted the transaction and dropped it: nothing else is signed until its time is over."""
    ready = [(function, *await _ready(attacked, function)) for function in ACCEPT]
    lost = [await attacked.fault("expire_envelopes", function=function, account=buyer, next=1) for function, buyer, _ in ready]
    accepted = [await ACCEPT[function](attacked, order_id) for function, _, order_id in ready]

    async def all_lost() -> bool:
        return all([await attacked.fired(one) for one in lost])

    before = [["CONFIRMED"] * (STEPS[function] - 1) for function in ACCEPT]

    async def all_submitted() -> bool:
        return [await _states(attacked, one) for one in accepted] == [[*states, "SUBMITTED"] for states in before]

    await attacked.until(all_lost)
    await attacked.until(all_submitted)
    await asyncio.sleep(1.5)
    assert await all_submitted()
    await attacked.pass_time(EXPIRED_S)
    await together(attacked.succeeded(one) for one in accepted)
    assert [await _states(attacked, one) for one in accepted] == [[*states, "DEAD", "CONFIRMED"] for states in before]
    await attacked.assert_settled()


@pytest.mark.slow
async def test_release_that_cannot_be_proven_is_unknown_until_it_is_found(attacked: Installation) -> None:
    """The seller has been paid and Horizon does not say so: the books wait, and nothing is paid again."""
    buyer, order_id = await _ready(attacked, RELEASE)
    lost = await _fault(attacked, RELEASE, buyer, "no answer")
    await attacked.fault("server_error", path=r"^GET /transactions/")
    accepted = await attacked.accept_release(order_id)
    await attacked.until(lambda: attacked.fired(lost))
    await attacked.pass_time(OVERDUE_S)
    await attacked.until(lambda: attacked.events("envelope.unknown", accepted.operation.id))
    assert await _states(attacked, accepted) == ["CONFIRMED", "CONFIRMED", "UNKNOWN"]
    assert (await attacked.read_order(order_id)).state == "RELEASE_REQUESTED"
    assert await attacked.balance(ledger.available(accepted.order.seller_id)) == 0
    await attacked.heal()
    await attacked.succeeded(accepted)
    await _assert_one_envelope_for_each_step(attacked, RELEASE, accepted)
    await attacked.assert_settled()


async def _goes_through(installation: Installation, function: str, hint: str) -> None:
    buyer, order_id = await _ready(installation, function)
    placed = await _fault(installation, function, buyer, hint)
    accepted = await ACCEPT[function](installation, order_id)
    finished = await installation.finished(accepted)
    assert finished.status == "SUCCEEDED", (function, hint, finished.error)
    assert await installation.fired(placed) == 1, (function, hint)
    await _assert_one_envelope_for_each_step(installation, function, accepted)


async def _ready(installation: Installation, function: str) -> tuple[str, str]:
    """The buyer's account, and an order whose escrow is there or, before a release, funded."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.succeeded(await installation.accept_escrow(order.id))
    if function == RELEASE:
        await installation.succeeded(await installation.accept_funding(order.id))
    return str(buyer.public_key), order.id


async def _fault(installation: Installation, function: str, buyer: str, hint: str) -> str:
    return await installation.fault(**HINTS[hint], function=function, account=buyer, next=1)


async def _states(installation: Installation, accepted: Accepted) -> list[str]:
    return [attempt.state for attempt in await installation.attempts_of(accepted.operation.id)]


async def _assert_one_envelope_for_each_step(installation: Installation, function: str, accepted: Accepted) -> None:
    signed = await installation.attempts_of(accepted.operation.id)
    assert {attempt.state for attempt in signed} == {"CONFIRMED"}
    assert list(Counter(attempt.intent_id for attempt in signed).values()) == [1] * STEPS[function]
