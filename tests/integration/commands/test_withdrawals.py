"""Withdrawals in the books: held at once, refused before anything is held, given back only by proof."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from activities.intents import escrow_step, is_own, own_step
from offerhub.commands.attempts import Outcome, correct_movements, record_attempt, settle_attempt
from offerhub.commands.withdrawals import (
    AcceptedWithdrawal,
    RequestWithdrawal,
    begin_withdrawal,
    book_withdrawal,
    refuse_withdrawal,
    report_withdrawal_mismatch,
    request_withdrawal,
)
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, LedgerMismatchError, OutOfTurnError
from offerhub.domain.intents import PayOut
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.plans import PAY_OUT, intent_id
from offerhub.domain.states import AttemptState
from offerhub.domain.withdrawals import AddressKind, Destination, Memo, MemoType
from offerhub.storage import ledger as books
from offerhub.storage import withdrawals
from offerhub.storage.users import UserRecord
from tests.integration.commands.market import OUTSIDE, PLATFORM, SIGNER, Market

UNIT = 10_000_000
REFUSED = "WITHDRAWAL_DESTINATION_INVALID"


async def state_of(market: Market, withdrawal_id: str) -> str:
    async with market.database.reading() as reader:
        found = await withdrawals.get(reader, withdrawal_id)
    assert found is not None
    return found.state


async def refusal_of(market: Market, request: RequestWithdrawal, destination: Destination, least: int = 1) -> DomainError:
    with pytest.raises(DomainError) as refused:
        async with market.command() as transaction:
            await request_withdrawal(transaction, request, destination, least)
    return refused.value


async def told(market: Market, aggregate_id: str) -> list[dict[str, Any]]:
    statement = text("SELECT type, payload FROM events WHERE aggregate_id = :id ORDER BY inserted")
    async with market.database.reading() as reader:
        return [dict(row) for row in await reader.rows(statement, id=aggregate_id)]


def refusal(operation_id: str) -> Refusal:
    return Refusal(operation_id, "withdrawal", REFUSED, "The ledger refused the transaction: op_no_trust.")


async def test_a_withdrawal_is_held_paid_and_booked_once(market: Market) -> None:
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 30 * UNIT)
    wd, op = accepted.withdrawal, accepted.operation
    assert (wd.state, op.kind, op.status, op.workflow_id) == ("WITHDRAWAL_COMMITTED", "withdrawal", "PENDING", f"withdrawal/{wd.id}")
    assert await market.balance(user) == (70 * UNIT, 0, 0)
    assert await market.account(ledger.in_transit(wd.id)) == 30 * UNIT
    attempt = await market.sign_withdrawal(op.id, str(user.public_key))
    assert await state_of(market, wd.id) == "WITHDRAWAL_PENDING"
    await market.apply(attempt, Movement(str(user.public_key), OUTSIDE.address, 30 * UNIT))
    for _ in range(2):
        async with market.command() as transaction:
            booked = await book_withdrawal(transaction, op.id)
        assert booked.state == "WITHDRAWAL_COMPLETED"
    assert await market.account(ledger.in_transit(wd.id)) == 0
    assert await market.account(ledger.WORLD_STELLAR) == -70 * UNIT
    assert (await market.operation(op.id)).transaction_hashes == [attempt.inner_hash]
    async with market.command() as transaction:
        assert (await begin_withdrawal(transaction, op.id)).step is None
        assert (await refuse_withdrawal(transaction, refusal(op.id))).state == "WITHDRAWAL_COMPLETED"
    events = await told(market, wd.id)
    assert [event["type"] for event in events] == [f"withdrawal.{name}" for name in ("created", "committed", "pending", "completed")]
    assert events[-1]["payload"]["transactionHash"] == attempt.inner_hash
    debit = (await told(market, user.id))[-1]
    assert (debit["type"], debit["payload"]["source"], debit["payload"]["withdrawalId"]) == ("balance.debited", "withdrawal", wd.id)
    assert debit["payload"]["available"] == "70.00"


async def test_what_was_refused_in_a_ledger_is_given_back_once(market: Market) -> None:
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 100 * UNIT)
    attempt = await market.sign_withdrawal(accepted.operation.id, str(user.public_key))
    async with market.command() as transaction:
        await settle_attempt(transaction, attempt.id, Outcome(AttemptState.REJECTED, 7, "op_no_trust", "no"))
    for _ in range(2):
        async with market.command() as transaction:
            view = await refuse_withdrawal(transaction, refusal(accepted.operation.id))
        assert view.state == "WITHDRAWAL_FAILED"
    assert await market.balance(user) == (100 * UNIT, 0, 0)
    operation = await market.operation(accepted.operation.id)
    assert (operation.status, operation.error and operation.error["code"]) == ("FAILED", REFUSED)
    failed = (await told(market, accepted.withdrawal.id))[-1]
    assert (failed["type"], failed["payload"]["code"]) == ("withdrawal.failed", REFUSED)
    credit = (await told(market, user.id))[-1]
    assert (credit["type"], credit["payload"]["source"]) == ("balance.credited", "withdrawal_failed")


@pytest.mark.parametrize("state", [None, "SUBMITTED", AttemptState.UNKNOWN, AttemptState.CONFIRMED])
async def test_nothing_is_given_back_while_an_envelope_may_have_applied(market: Market, state: str | None) -> None:
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 40 * UNIT)
    attempt = await market.sign_withdrawal(accepted.operation.id, str(user.public_key))
    if isinstance(state, AttemptState):
        async with market.command() as transaction:
            await settle_attempt(transaction, attempt.id, Outcome(state, 7))
    async with market.command() as transaction:
        view = await refuse_withdrawal(transaction, refusal(accepted.operation.id))
    assert view.state == "WITHDRAWAL_PENDING"
    assert await market.balance(user) == (60 * UNIT, 0, 0)
    assert (await market.operation(accepted.operation.id)).status == "RUNNING"


async def test_after_giving_back_nothing_can_be_signed_any_more(market: Market) -> None:
    """The envelope was prepared before the refusal and comes to be recorded after it."""
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 40 * UNIT)
    dead = await market.sign_withdrawal(accepted.operation.id, str(user.public_key))
    async with market.command() as transaction:
        await settle_attempt(transaction, dead.id, Outcome(AttemptState.DEAD, reason="too late"))
    async with market.command() as transaction:
        assert (await refuse_withdrawal(transaction, refusal(accepted.operation.id))).state == "WITHDRAWAL_FAILED"
    with pytest.raises(OutOfTurnError):
        async with market.command() as transaction:
            await record_attempt(transaction, replace(dead, id="att_later", inner_hash="later"))


@pytest.mark.parametrize(
    "moved",
    [(), (("user", "GSTRANGER", 30 * UNIT),), (("user", "GOUTSIDE", 30 * UNIT - 1),), (("user", "GOUTSIDE", 30 * UNIT),) * 2],
    ids=["nothing", "elsewhere", "less", "twice"],
)
async def test_other_movements_than_the_one_payment_are_not_booked(market: Market, moved: tuple[tuple[str, str, int], ...]) -> None:
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 30 * UNIT)
    attempt = await market.sign_withdrawal(accepted.operation.id, str(user.public_key))
    await market.apply(attempt, *(Movement(str(user.public_key), recipient, amount) for _, recipient, amount in moved))
    with pytest.raises(LedgerMismatchError, match=r"30.00 USDC from G\w+ to GOUTSIDE, the chain moved (nothing|\d.* USDC from G)"):
        async with market.command() as transaction:
            await book_withdrawal(transaction, accepted.operation.id)
    async with market.command() as transaction:
        assert (await report_withdrawal_mismatch(transaction, accepted.operation.id, "no")).state == "WITHDRAWAL_PENDING"
    assert await market.account(ledger.in_transit(accepted.withdrawal.id)) == 30 * UNIT
    assert [event["type"] for event in await told(market, accepted.operation.id)] == ["ledger.mismatch"]


async def test_movements_may_be_corrected_until_they_are_booked(market: Market) -> None:
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 30 * UNIT)
    attempt = await market.sign_withdrawal(accepted.operation.id, str(user.public_key))
    right = Movement(str(user.public_key), OUTSIDE.address, 30 * UNIT)
    with pytest.raises(LookupError, match="no applied attempt"):
        async with market.command() as transaction:
            await correct_movements(transaction, attempt.id, [right])
    await market.apply(attempt)
    for _ in range(2):
        async with market.command() as transaction:
            await correct_movements(transaction, attempt.id, [right])
    async with market.command() as transaction:
        assert (await book_withdrawal(transaction, accepted.operation.id)).state == "WITHDRAWAL_COMPLETED"
    async with market.command() as transaction:
        await correct_movements(transaction, attempt.id, [])
    (stored,) = await market.attempts(accepted.operation.id)
    assert stored.movements == [vars(right)]
    audited = text("SELECT before, after FROM audit_log WHERE action = 'envelope.movements_read_again'")
    async with market.database.reading() as reader:
        (entry,) = await reader.rows(audited)
    assert (entry["before"], entry["after"]) == ({"movements": []}, {"movements": [vars(right)]})


@pytest.mark.parametrize(
    ("destination", "sentence"),
    [
        (Destination("nonsense", AddressKind.UNREADABLE), "not an address"),
        (Destination("M1", AddressKind.MUXED), "Muxed"),
        (Destination("C1", AddressKind.CONTRACT), "escrow"),
        (Destination("GISSUER", AddressKind.ACCOUNT, is_issuer=True), "issuer"),
        (Destination("GNOBODY", AddressKind.ACCOUNT), "no such account"),
        (replace(OUTSIDE, room_stroops=None), "trustline"),
        (replace(OUTSIDE, is_authorized=False), "does not let"),
        (replace(OUTSIDE, room_stroops=30 * UNIT - 1), "29.9999999 USDC more"),
        (replace(OUTSIDE, memo_required=True), "SEP-29"),
        (replace(OUTSIDE, address=PLATFORM), "platform's own"),
        (replace(OUTSIDE, address=SIGNER), "platform's own"),
    ],
)
async def test_a_destination_that_would_refuse_or_lose_the_money(market: Market, destination: Destination, sentence: str) -> None:
    user = await market.user(100 * UNIT)
    refused = await refusal_of(market, RequestWithdrawal(user.id, 30 * UNIT), destination)
    assert refused.code == REFUSED
    assert sentence in refused.message
    await assert_nothing_happened(market, user)


async def test_own_wallets_are_no_destination(market: Market) -> None:
    user, other = await market.user(100 * UNIT), await market.user()
    for owner, sentence in ((user, "own wallet"), (other, "another user")):
        refused = await refusal_of(market, RequestWithdrawal(user.id, UNIT), replace(OUTSIDE, address=str(owner.public_key)))
        assert (refused.code, sentence in refused.message) == (REFUSED, True)
    await assert_nothing_happened(market, user)


async def test_a_memo_where_one_is_required_and_exactly_the_room_there_is(market: Market) -> None:
    user = await market.user(100 * UNIT)
    exchange = replace(OUTSIDE, memo_required=True, room_stroops=30 * UNIT)
    async with market.command() as transaction:
        request = RequestWithdrawal(user.id, 30 * UNIT, Memo(MemoType.ID, "7"))
        accepted = await request_withdrawal(transaction, request, exchange, 1)
    assert accepted.withdrawal.memo == Memo(MemoType.ID, "7")


async def test_limits_balance_and_standing(market: Market) -> None:
    user = await market.user(100 * UNIT)
    less = await refusal_of(market, RequestWithdrawal(user.id, UNIT - 1), OUTSIDE, least=UNIT)
    assert (less.code, less.details) == ("LIMIT_EXCEEDED", {"minimum": "1.00"})
    more = await refusal_of(market, RequestWithdrawal(user.id, 100 * UNIT + 1), OUTSIDE)
    assert (more.code, more.details["available"]) == ("INSUFFICIENT_FUNDS", "100.00")
    absurd = await refusal_of(market, RequestWithdrawal(user.id, 10**19), replace(OUTSIDE, room_stroops=10**20))
    assert absurd.code == "INSUFFICIENT_FUNDS"
    assert (await refusal_of(market, RequestWithdrawal("usr_none", UNIT), OUTSIDE)).code == "USER_NOT_FOUND"
    await assert_nothing_happened(market, user)
    async with market.command() as transaction:
        await transaction.run(text("UPDATE users SET status = 'SUSPENDED' WHERE id = :id"), id=user.id)
        transaction.audit("user.suspended", ("user", user.id), None, None)
    assert (await refusal_of(market, RequestWithdrawal(user.id, UNIT), OUTSIDE)).code == "USER_SUSPENDED"
    await market.user()
    await market.user()
    await market.user()
    waiting = await market.user()
    assert waiting.public_key is None
    assert (await refusal_of(market, RequestWithdrawal(waiting.id, UNIT), OUTSIDE)).code == "WALLET_NOT_READY"


async def test_two_withdrawals_cannot_spend_the_same_money(market: Market) -> None:
    user = await market.user(100 * UNIT)
    await market.withdraw(user, 60 * UNIT)
    assert (await refusal_of(market, RequestWithdrawal(user.id, 60 * UNIT), OUTSIDE)).code == "INSUFFICIENT_FUNDS"
    await market.withdraw(user, 40 * UNIT)
    assert await market.balance(user) == (0, 0, 0)


async def test_custody_pays_only_what_the_books_hold_for_a_running_withdrawal(market: Market) -> None:
    user = await market.user(100 * UNIT)
    accepted = await market.withdraw(user, 40 * UNIT)
    intent = intent_id(accepted.operation.id, PAY_OUT)
    assert is_own(intent)
    async with market.database.reading() as reader:
        with pytest.raises(DomainError, match="WITHDRAWAL_COMMITTED"):
            await own_step(reader, intent)
    async with market.command() as transaction:
        await begin_withdrawal(transaction, accepted.operation.id)
    async with market.database.reading() as reader:
        own = await own_step(reader, intent)
        assert own.intent == PayOut(str(user.public_key), OUTSIDE.address, 40 * UNIT, None)
        with pytest.raises(LookupError):
            await own_step(reader, "op_none/pay_out")
        with pytest.raises(LookupError):
            await escrow_step(reader, intent)
    with pytest.raises(LookupError, match="the books hold 0 stroops"):
        await _own_step_without_hold(market, accepted, intent)
    async with market.command() as transaction:
        await refuse_withdrawal(transaction, refusal(accepted.operation.id))
    async with market.database.reading() as reader:
        with pytest.raises(DomainError, match="nothing is left to pay"):
            await own_step(reader, intent)


async def _own_step_without_hold(market: Market, accepted: AcceptedWithdrawal, intent: str) -> None:
    """Whoever could empty the hold (nobody can) would not get a signature; rolled back."""
    withdrawal = accepted.withdrawal
    async with market.command() as transaction:
        await books.post(transaction, ledger.withdrawal_failed(withdrawal.id, withdrawal.user_id, withdrawal.amount))
        await own_step(transaction, intent)


async def assert_nothing_happened(market: Market, user: UserRecord) -> None:
    assert await market.balance(user) == (100 * UNIT, 0, 0)
    async with market.database.reading() as reader:
        for table in ("withdrawals", "operations", "workflow_messages"):
            assert await reader.first(text(f"SELECT 1 FROM {table}")) is None  # noqa: S608
