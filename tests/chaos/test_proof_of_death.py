"""No hint is proof: whatever the network says or fails to say, an intent gets a new envelope only after the death of every older one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from offerhub.domain import ledger
from offerhub.storage.users import UserRecord
from tests.chaos.installation import Installation, together

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(900), pytest.mark.slow]

AMOUNT = 100_000_000
SUBMIT = r"^POST /transactions$"
LOST = {"kind": "empty_504", "path": SUBMIT}
# Each alone, on the first submission of an envelope: it has applied, and the answer hides that.
APPLIED: dict[str, dict[str, Any]] = {
    "504": {"kind": "timeout_but_applies"},
    "504 of a proxy": {"kind": "empty_504", "path": SUBMIT, "applies": True},
    "answer lost": {"kind": "accept_then_drop", "path": SUBMIT},
    "500": {"kind": "server_error", "path": SUBMIT, "applies": True},
    "502 in HTML": {"kind": "html_bad_gateway", "path": SUBMIT, "applies": True},
    "refused without a reason": {"kind": "null_extras", "path": SUBMIT, "applies": True},
}
# It was not let through, but might have been: only the same bytes again are safe.
NOT_LET_THROUGH: dict[str, dict[str, Any]] = {
    "504 of a proxy": LOST,
    "TRY_AGAIN_LATER": {"kind": "try_again_later", "path": SUBMIT, "waitSeconds": 0.2},
    "429": {"kind": "rate_limited", "path": SUBMIT},
    "tx_bad_seq": {"kind": "refuse_transaction", "code": "tx_bad_seq"},
    "tx_too_late": {"kind": "refuse_transaction", "code": "tx_too_late"},
    "tx_insufficient_fee": {"kind": "refuse_transaction", "code": "tx_insufficient_fee"},
    "tx_internal_error": {"kind": "refuse_transaction", "code": "tx_internal_error"},
}


async def test_no_answer_that_hides_an_application_is_taken_as_proof(attacked: Installation) -> None:
    """As many users withdraw at once, each under another hint: every one of them is paid, by the one envelope that was signed."""
    await together(_withdraw_under(attacked, hint, fault) for hint, fault in APPLIED.items())
    await attacked.assert_settled()


async def test_no_refusal_at_submission_is_taken_as_proof(attacked: Installation) -> None:
    await together(_withdraw_under(attacked, hint, fault) for hint, fault in NOT_LET_THROUGH.items())
    await attacked.assert_settled()


async def test_not_found_is_not_proof(attacked: Installation) -> None:
    """The answer is lost and Horizon shows nothing for seconds although the money has moved."""
    user, payee = await _user_with_money(attacked), await attacked.payee()
    delay = await attacked.fault("ingestion_delay", seconds=4.0)
    await attacked.fault("accept_then_drop", path=SUBMIT, account=str(user.public_key), next=1)
    taken = await attacked.accept_withdrawal(user, payee, AMOUNT)
    await attacked.succeeded(taken)
    await attacked.heal(delay)
    assert await _states(attacked, taken.operation.id) == ["CONFIRMED"]
    assert await attacked.on_chain(payee) == AMOUNT


async def test_what_was_lost_is_posted_again_however_often_horizon_fails(attacked: Installation) -> None:
    """Every third question goes unanswered, so no look is a whole one for long: the same bytes are sent again all the same, in time."""
    user, payee = await _user_with_money(attacked), await attacked.payee()
    await attacked.fault(**LOST, account=str(user.public_key), next=1)
    failing = await attacked.fault("server_error", path=r"^GET /(transactions|accounts|ledgers)", probability=0.3, seed=5)
    taken = await attacked.accept_withdrawal(user, payee, AMOUNT)
    await attacked.succeeded(taken)
    await attacked.heal(failing)
    (attempt,) = await attacked.attempts_of(taken.operation.id)
    assert (attempt.state, attempt.submissions > 1) == ("CONFIRMED", True)
    assert await attacked.on_chain(payee) == AMOUNT
    await attacked.assert_settled()


async def test_new_envelope_only_after_proof_of_death(attacked: Installation) -> None:
    """The payment was lost on its way. Nothing is signed while it might still come; after its time a new one is, and pays."""
    await _dies(attacked, LOST)


async def test_new_envelope_only_after_proof_of_death_in_the_network(attacked: Installation) -> None:
    """The same where every node had accepted the payment and dropped it later."""
    await _dies(attacked, {"kind": "expire_envelopes"})


async def _dies(attacked: Installation, cause: dict[str, Any]) -> None:
    user, payee = await _user_with_money(attacked), await attacked.payee()
    fault = await attacked.fault(**cause, account=str(user.public_key), next=1)
    taken = await attacked.accept_withdrawal(user, payee, AMOUNT)
    await attacked.until(lambda: attacked.fired(fault))
    await attacked.until(lambda: _is_submitted(attacked, taken.operation.id))
    await asyncio.sleep(1.5)
    assert await _states(attacked, taken.operation.id) == ["SUBMITTED"]
    await attacked.pass_time(130)
    await attacked.succeeded(taken)
    assert await _states(attacked, taken.operation.id) == ["DEAD", "CONFIRMED"]
    assert await attacked.on_chain(payee) == AMOUNT
    await attacked.assert_settled()


async def test_what_cannot_be_proven_waits_for_proof_as_unknown(attacked: Installation) -> None:
    """The payment was lost and Horizon does not say so: no proof, so no second payment and no money back."""
    user, payee = await _user_with_money(attacked), await attacked.payee()
    taken = await _unknown(attacked, user, payee, LOST)
    assert await attacked.balance(ledger.available(user.id)) == 0
    await attacked.heal()
    await attacked.succeeded(taken)
    assert await _states(attacked, taken.operation.id) == ["DEAD", "CONFIRMED"]
    assert await attacked.on_chain(payee) == AMOUNT
    await attacked.assert_settled()


async def test_unknown_that_had_applied_is_found_and_not_repeated(attacked: Installation) -> None:
    user, payee = await _user_with_money(attacked), await attacked.payee()
    taken = await _unknown(attacked, user, payee, {"kind": "accept_then_drop", "path": SUBMIT})
    await attacked.heal()
    await attacked.succeeded(taken)
    assert await _states(attacked, taken.operation.id) == ["CONFIRMED"]
    assert await attacked.on_chain(payee) == AMOUNT
    assert [event["status"] for event in await attacked.events("envelope.resolved", taken.operation.id)] == ["CONFIRMED"]
    await attacked.assert_settled()


async def _withdraw_under(installation: Installation, hint: str, fault: dict[str, Any]) -> None:
    user, payee = await _user_with_money(installation), await installation.payee()
    placed = await installation.fault(**fault, account=str(user.public_key), next=1)
    taken = await installation.accept_withdrawal(user, payee, AMOUNT)
    finished = await installation.finished(taken)
    assert finished.status == "SUCCEEDED", (hint, finished.error)
    assert await installation.fired(placed) == 1, hint
    assert await _states(installation, taken.operation.id) == ["CONFIRMED"], hint
    assert await installation.on_chain(payee) == AMOUNT, hint


async def _unknown(installation: Installation, user: UserRecord, payee: str, cause: dict[str, Any]) -> Any:
    """A withdrawal of which Horizon shows neither the end nor its impossibility, long after its time."""
    fault = await installation.fault(**cause, account=str(user.public_key), next=1)
    await installation.fault("server_error", path=r"^GET /transactions/")
    taken = await installation.accept_withdrawal(user, payee, AMOUNT)
    await installation.until(lambda: installation.fired(fault))
    await installation.pass_time(120 + 300 + 10)
    (told,) = await installation.until(lambda: installation.events("envelope.unknown", taken.operation.id))
    (attempt,) = await installation.attempts_of(taken.operation.id)
    assert attempt.state == "UNKNOWN"
    assert told["operationId"] == taken.operation.id
    assert (told["innerHash"], told["outerHash"]) == (attempt.inner_hash, attempt.outer_hash)
    assert (told["sourceAccount"], told["sequence"]) == (user.public_key, str(attempt.sequence))
    assert "500" in told["reason"]
    return taken


async def _user_with_money(installation: Installation) -> UserRecord:
    user = await installation.party()
    await installation.deposit(user, AMOUNT)
    return user


async def _is_submitted(installation: Installation, operation_id: str) -> bool:
    return await _states(installation, operation_id) == ["SUBMITTED"]


async def _states(installation: Installation, operation_id: str) -> list[str]:
    return [attempt.state for attempt in await installation.attempts_of(operation_id)]
