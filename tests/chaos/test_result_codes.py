"""Every result code of ``reference/stellar.md`` §2.2, and what is made of it: final, passing, or no outcome at all."""

from __future__ import annotations

import pytest

from activities.outcomes import ONCE_MORE
from offerhub.domain import ledger
from sandbox.ledger.results import transaction_texts
from tests.chaos.installation import Installation, together

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(280), pytest.mark.slow]

AMOUNT = 60_000_000
# Failed in a ledger: nothing was paid, and nothing of it ever will be.
FINAL = {
    "op_no_trust": "WITHDRAWAL_DESTINATION_INVALID",
    "op_no_destination": "WITHDRAWAL_DESTINATION_INVALID",
    "op_line_full": "WITHDRAWAL_DESTINATION_INVALID",
    "op_not_authorized": "WITHDRAWAL_DESTINATION_INVALID",
    "op_underfunded": "INSUFFICIENT_FUNDS",
    "op_src_not_authorized": "STELLAR_NETWORK_ERROR",
    "op_src_no_trust": "STELLAR_NETWORK_ERROR",
}
# Failed in a ledger for what a new envelope, simulated anew, does not have.
PASSING = ("resource_limit_exceeded", "insufficient_refundable_fee", "entry_archived")


async def test_no_refusal_of_a_transaction_at_submission_is_an_outcome(attacked: Installation) -> None:
    """Whatever the code, another copy may be on its way: the same bytes are sent again, and pay once."""
    await together(_is_paid_despite(attacked, code) for code in transaction_texts())
    await attacked.assert_settled()


async def test_failure_in_a_ledger_gives_a_withdrawal_back(attacked: Installation) -> None:
    await together(_is_given_back(attacked, code, reported) for code, reported in FINAL.items())
    await attacked.assert_settled()


async def test_passing_failure_of_a_contract_call_is_followed_by_a_new_envelope(attacked: Installation) -> None:
    assert set(PASSING) <= ONCE_MORE
    await together(_is_released_after(attacked, code) for code in PASSING)
    await attacked.assert_settled()


async def test_what_fails_in_ledger_after_ledger_is_refused(attacked: Installation) -> None:
    """Each has cost its fee. The order rests where it was, and the release that is asked for later pays."""
    buyer, order_id = await _funded(attacked)
    failing = await attacked.fault("refuse_transaction", code="entry_archived", function="release_funds", account=buyer)
    refused = await attacked.finished(await attacked.accept_release(order_id))
    assert (refused.status, await attacked.fired(failing)) == ("FAILED", 5)
    assert (await attacked.read_order(order_id)).state == "IN_PROGRESS"
    await attacked.heal(failing)
    await attacked.succeeded(await attacked.accept_release(order_id))
    await attacked.assert_settled()


async def _is_paid_despite(installation: Installation, code: str) -> None:
    user, payee = await installation.party(), await installation.payee()
    await installation.deposit(user, AMOUNT)
    placed = await installation.fault("refuse_transaction", code=code, account=payee, next=1)
    taken = await installation.accept_withdrawal(user, payee, AMOUNT)
    finished = await installation.finished(taken)
    assert finished.status == "SUCCEEDED", (code, finished.error)
    [attempt] = await installation.attempts_of(taken.operation.id)
    assert (attempt.state, attempt.submissions > 1, await installation.fired(placed)) == ("CONFIRMED", True, 1), code
    assert await installation.on_chain(payee) == AMOUNT, code


async def _is_given_back(installation: Installation, code: str, reported: str) -> None:
    user, payee = await installation.party(), await installation.payee()
    await installation.deposit(user, AMOUNT)
    await installation.fault("refuse_transaction", code=code, account=payee, next=1)
    taken = await installation.accept_withdrawal(user, payee, AMOUNT)
    finished = await installation.finished(taken)
    assert finished.error is not None, code
    assert (finished.status, finished.error["code"]) == ("FAILED", reported), code
    [attempt] = await installation.attempts_of(taken.operation.id)
    assert (attempt.state, attempt.code) == ("REJECTED", code)
    assert await installation.balance(ledger.available(user.id)) == AMOUNT, code
    assert await installation.on_chain(payee) == 0


async def _is_released_after(installation: Installation, code: str) -> None:
    buyer, order_id = await _funded(installation)
    await installation.fault("refuse_transaction", code=code, function="release_funds", account=buyer, next=1)
    released = await installation.succeeded(await installation.accept_release(order_id))
    signed = [(one.state, one.code) for one in await installation.attempts_of(released.id) if one.intent_id.endswith("/release")]
    assert signed == [("REJECTED", code), ("CONFIRMED", None)], code


async def _funded(installation: Installation) -> tuple[str, str]:
    """The buyer's account and the order."""
    buyer, seller = await installation.party(), await installation.party()
    await installation.deposit(buyer, AMOUNT)
    order = await installation.order(buyer, seller, AMOUNT)
    await installation.funded(order.id)
    return str(buyer.public_key), order.id
