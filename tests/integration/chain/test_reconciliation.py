"""Each kind of drift, made on purpose: found, explained, told once, and never corrected in silence."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from stellar_sdk import (
    Asset,
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    Keypair,
    Payment,
    StrKey,
)

from offerhub.commands.deposits import book_payments
from offerhub.commands.orders import CreateOrder, Terms, create_order
from offerhub.domain.ledger import Entry, Posting, in_escrow
from offerhub.domain.states import EscrowState
from offerhub.reconciliation import steady
from offerhub.stellar.payments import incoming_payments
from offerhub.storage import attempts, ledger, orders
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.orders import EscrowRecord
from offerhub.storage.unit_of_work import new_id
from offerhub.storage.users import UserRecord
from tests.integration.chain.town import Town


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steady, "PAUSES_S", (0.05, 0.1))


async def test_where_books_and_chain_agree_nothing_is_found(town: Town) -> None:
    user = await _rich(town)
    in_stock = await town.wallet()
    await town.faucet(in_stock.public_key, "3.00")
    await town.wallet("PLATFORM")
    await town.read_all()
    figures, findings = await town.reconcile()
    assert [one.explanation for one in findings] == []
    assert figures["wallets"] == {"checked": 2, "inMotion": 0, "notChecked": 0}
    assert figures["platform"]["checked"] == 1
    assert await town.events("reconciliation.drift_detected") == []
    assert [event["findings"] for event in await town.events("reconciliation.completed")] == ["0"]
    assert (await town.market.balance(user))[0] == 50_000_000


async def test_a_missed_deposit_is_found_and_credited_once(town: Town) -> None:
    user, stranger = await town.user(), await town.account()
    await town.faucet(stranger.public_key, "9.00")
    await town.send(stranger, Payment(str(user.public_key), town.usdc, "2"), Payment(str(user.public_key), town.usdc, "2"), memo="lost")
    await _skip_ahead(town)
    runs = await asyncio.gather(town.reconcile(), town.reconcile())
    found = [finding for _, findings in runs for finding in findings]
    assert [finding.kind for finding in found] == ["MISSED_DEPOSIT"] * 2
    assert "was missed when the stream passed it" in found[0].explanation
    assert (await town.market.balance(user))[0] == 40_000_000
    assert [event["source"] for event in await town.events("balance.credited")] == ["stellar_deposit_reconciled"] * 2
    assert [deposit.memo for deposit in await town.recorded(user)] == ["lost"] * 2
    assert (await town.reconcile())[1] == []


async def test_a_missed_deposit_beside_one_that_was_booked_from_the_same_transaction(town: Town) -> None:
    one, other, stranger = await town.user(), await town.user(), await town.account()
    await town.faucet(stranger.public_key, "9.00")
    paid = [Payment(str(user.public_key), town.usdc, amount) for user, amount in ((one, "1"), (one, "2"), (other, "3"))]
    await town.send(stranger, *paid)
    last, _, first = await town.payments(3)
    seen = incoming_payments(first, town.network.usdc_issuer)
    async with town.market.command() as transaction:
        assert await book_payments(transaction, seen, last["paging_token"]) == 1
    _, findings = await town.reconcile()
    assert sorted((finding.kind, finding.user_id or "", finding.found) for finding in findings) == [
        ("MISSED_DEPOSIT", one.id, 20_000_000),
        ("MISSED_DEPOSIT", other.id, 30_000_000),
    ]
    assert (await town.market.balance(one))[0] == (await town.market.balance(other))[0] == 30_000_000


async def test_a_deposit_that_the_reader_is_about_to_reach_is_left_to_it(town: Town) -> None:
    user = await _rich(town)
    await town.faucet(str(user.public_key), "1.00")
    figures, findings = await town.reconcile()
    assert [one.explanation for one in findings] == []
    assert figures["wallets"]["inMotion"] == 1
    await town.read_all()
    assert [event["source"] for event in await town.events("balance.credited")] == ["stellar_deposit"] * 2
    assert (await town.reconcile())[0]["wallets"]["inMotion"] == 0


async def test_money_taken_behind_our_back_is_drift_that_is_told_once(town: Town) -> None:
    user, thief = await _rich(town), await town.account()
    answer = await town.pay_behind_our_back(user, (thief.public_key, "2"))
    await town.read_all()
    for _ in range(2):
        _, [drift] = await town.reconcile()
        assert (drift.kind, drift.expected, drift.found, drift.user_id) == ("WALLET_DRIFT", 50_000_000, 30_000_000, user.id)
        assert f"-2.00 USDC to {thief.public_key} in transaction {answer['hash']}" in drift.explanation
    assert len(await town.events("reconciliation.drift_detected")) == 1
    assert (await town.market.balance(user))[0] == 50_000_000
    await town.pay_behind_our_back(user, (thief.public_key, "1"))
    await town.reconcile()
    assert [event["found"] for event in await town.events("reconciliation.drift_detected")] == ["3.00", "2.00"]


async def test_a_wrong_posting_is_drift_without_a_payment_that_explains_it(town: Town) -> None:
    user = await _rich(town)
    wrong = Posting("by hand", "x", (Entry("world:stellar", 7), Entry(f"user:{user.id}:available", -7)))
    async with town.market.command() as transaction:
        await ledger.post(transaction, wrong)
    _, [drift] = await town.reconcile()
    assert (drift.kind, drift.found, drift.expected) == ("WALLET_DRIFT", 50_000_000, 49_999_993)
    assert "No payment of the account's history explains it" in drift.explanation


async def test_a_cached_balance_that_is_not_its_entries(town: Town) -> None:
    user = await _rich(town)
    await _execute(town, "UPDATE account_balances SET balance = balance + 1 WHERE account = :name", name=f"user:{user.id}:available")
    _, findings = await town.reconcile()
    assert {finding.kind for finding in findings} == {"CACHED_BALANCE_DRIFT", "WALLET_DRIFT"}
    cached = next(one for one in findings if one.kind == "CACHED_BALANCE_DRIFT")
    assert (cached.resource_id, cached.expected, cached.found) == (f"user:{user.id}:available", 50_000_000, 50_000_001)
    await _execute(town, "UPDATE account_balances SET balance = balance - 1 WHERE account = :name", name=f"user:{user.id}:available")


async def test_extra_xlm_is_a_remark(town: Town) -> None:
    user, stranger = await _rich(town), await town.account()
    await town.send(stranger, Payment(str(user.public_key), Asset.native(), "3"))
    _, findings = await town.reconcile()
    assert {finding.kind for finding in findings} == {"FOREIGN_XLM"}
    assert "3.00 XLM" in findings[0].explanation
    assert await town.events("reconciliation.drift_detected") == []


async def test_a_frozen_trustline_and_a_missing_one(town: Town) -> None:
    user = await _rich(town)
    async with town.fault("freeze_trustline", account=user.public_key):
        _, findings = await town.reconcile()
    assert [finding.kind for finding in findings] == ["WALLET_FROZEN"]
    assert (findings[0].user_id, findings[0].resource_type) == (user.id, "wallet")
    assert (await town.reconcile())[1] == []
    town.transport.alter = _account(lambda body: body.update(balances=[]))
    _, findings = await town.reconcile()
    assert {finding.kind for finding in findings} == {"WALLET_MISSING", "WALLET_DRIFT"}


async def test_a_claimable_balance_is_listed(town: Town) -> None:
    user = await _rich(town)
    offer = {"id": "00" * 36, "amount": "12.0000000", "asset": "USDC"}

    def alter(request: httpx.Request, document: dict[str, Any]) -> dict[str, Any]:
        mine = request.url.path == "/claimable_balances" and request.url.params["claimant"] == user.public_key
        return {"_embedded": {"records": [offer]}} if mine else document

    town.transport.alter = alter
    _, [listed] = await town.reconcile()
    assert (listed.kind, listed.resource_id, listed.found, listed.user_id) == ("CLAIMABLE_BALANCE", offer["id"], 120_000_000, user.id)
    assert (await town.market.balance(user))[0] == 50_000_000


async def test_an_escrow_that_holds_less_than_booked(town: Town) -> None:
    """More than booked needs a contract and is tried in `tests/e2e`."""
    buyer, seller = await town.user(), await town.user()
    contract, nothing = StrKey.encode_contract(bytes(32)), (None,) * 3
    async with town.market.command() as transaction:
        order = await create_order(transaction, CreateOrder(buyer.id, seller.id, 7, "USDC", "A logo"), Terms())
        signed = (EscrowState.FUNDED, 7, "GSIGNER", contract, *nothing, transaction.now, transaction.now)
        await orders.insert_escrow(transaction, EscrowRecord("esc_1", order.id, *signed))
        await transaction.run(text("UPDATE escrows SET contract_id = :id"), id=contract)
        await ledger.open_accounts(transaction, (in_escrow("esc_1"),))
        await ledger.post(transaction, Posting("by hand", "x", (Entry("world:stellar", -7), Entry(in_escrow("esc_1"), 7))))
    figures, [drift] = await town.reconcile()
    assert (drift.kind, drift.resource_id, drift.expected, drift.found) == ("ESCROW_DRIFT", "esc_1", 7, 0)
    assert "holds 0.0000007 USDC less than booked. It was paid out behind our back" in drift.explanation
    assert figures["escrows"] == {"checked": 1, "inMotion": 0, "notChecked": 0}


async def test_usdc_paid_to_the_platform_from_outside(town: Town) -> None:
    platform = await town.wallet("PLATFORM")
    await town.faucet(platform.public_key, "4.00")
    _, [drift] = await town.reconcile()
    assert (drift.kind, drift.resource_id, drift.expected, drift.found) == ("PLATFORM_DRIFT", platform.public_key, 0, 40_000_000)


async def test_a_platform_account_that_runs_low_raises_one_alert(town: Town) -> None:
    fee = await town.wallet("FEE")
    assert (await town.reconcile(least_xlm=9_000))[1] == []
    for amount in ("1000", "1"):
        await town.send(fee, Payment(Keypair.from_secret(fee.secret).public_key, Asset.native(), amount))
        await town.send(fee, Payment((await town.account()).public_key, Asset.native(), amount))
        _, [low] = await town.reconcile(least_xlm=9_500)
        assert (low.kind, low.resource_type, low.resource_id) == ("PLATFORM_ACCOUNT_LOW", "FEE", fee.public_key)
    [told] = await town.events("platform_account.low")
    assert (told["kind"], told["minimumXlm"]) == ("FEE", "9500.00")
    assert await town.events("reconciliation.drift_detected") == []


async def test_what_a_sponsor_has_set_aside_for_wallets_is_not_left_to_spend(town: Town) -> None:
    sponsor, opened = await town.wallet("SPONSOR"), Keypair.random()
    begin, end = BeginSponsoringFutureReserves(opened.public_key), EndSponsoringFutureReserves(source=opened.public_key)
    create, trust = CreateAccount(opened.public_key, "0"), ChangeTrust(town.usdc, source=opened.public_key)
    await town.send(sponsor, begin, create, trust, end, signers=(opened,))
    account = await town.horizon.account(sponsor.public_key)
    assert account is not None
    _, [low] = await town.reconcile(least_xlm=20_000)
    # Two for being there and one for its trustline; two and one of the wallet.
    assert (low.kind, low.resource_id, low.found) == ("PLATFORM_ACCOUNT_LOW", sponsor.public_key, account.xlm_stroops - 6 * 5_000_000)


async def test_an_envelope_without_an_outcome_after_its_time(town: Town) -> None:
    user = await town.user()
    stuck = AttemptRecord(new_id("att"), "op_1/pay", None, None, "horizon", str(user.public_key), 7, "ab" * 32, "cd" * 32, "AAAA", 1)
    async with town.market.command() as transaction:
        await attempts.insert(transaction, stuck)
    figures, [found] = await town.reconcile()
    assert (found.kind, found.resource_id, found.user_id) == ("STUCK_ATTEMPT", stuck.id, user.id)
    assert "The network shows no such transaction." in found.explanation
    assert figures["attempts"]["checked"] == 1


async def test_passing_faults_of_horizon_do_not_end_a_page(town: Town) -> None:
    user = await _rich(town)
    async with town.fault("server_error", next=1, account=user.public_key), town.fault("html_bad_gateway", next=1):
        assert (await town.reconcile())[1] == []


async def test_a_replica_that_is_behind_is_no_drift(town: Town) -> None:
    user = await _rich(town)
    await town.faucet(str(user.public_key), "1.00")
    await town.read_all()
    async with town.fault("stale_replica", ledgers=1, next=3):
        figures, findings = await town.reconcile()
    assert (findings, figures["wallets"]["checked"]) == ([], 1)


async def test_a_page_done_twice_counts_once(town: Town) -> None:
    """As after an activity whose answer was lost."""
    user = await _rich(town)
    await _execute(town, "UPDATE account_balances SET balance = balance + 1 WHERE account = :name", name=f"user:{user.id}:available")
    town.doubled = True
    figures, findings = await town.reconcile()
    assert figures["wallets"]["checked"] == 1
    assert sorted(finding.kind for finding in findings) == ["CACHED_BALANCE_DRIFT", "WALLET_DRIFT"]
    assert len(await town.events("reconciliation.drift_detected")) == 2


async def test_wallets_that_move_all_the_time_are_never_a_false_alarm(town: Town) -> None:
    """Deposits rain on every wallet while the reconciler looks again and again."""
    users = [await town.user() for _ in range(4)]
    payer = await town.account()
    await town.faucet(payer.public_key, "1000.00")
    raining = True

    async def rain() -> None:
        while raining:
            await town.send(payer, *(Payment(str(user.public_key), town.usdc, "0.01") for user in users))

    async with town.reading():
        storm = asyncio.create_task(rain())
        looked = [await town.reconcile() for _ in range(4)]
        raining = False
        await storm
        await town.until(lambda: _all_in_step(town))
    assert [findings for _, findings in looked] == [[]] * 4
    assert (await town.market.balance(users[0]))[0] > 500_000


async def _all_in_step(town: Town) -> bool:
    figures, findings = await town.reconcile()
    assert [one.explanation for one in findings] == []
    return bool(figures["wallets"]["inMotion"] == 0)


async def _rich(town: Town) -> UserRecord:
    """A user with 5 USDC, on the chain and in the books."""
    user = await town.user()
    await town.faucet(str(user.public_key), "5.00")
    await town.read_all()
    return user


async def _skip_ahead(town: Town) -> None:
    """As if a reader had lost what it read: the position moves on, nothing is booked."""
    last = (await town.payments(1))[0]["paging_token"]
    async with town.market.command() as transaction:
        await book_payments(transaction, [], last)


async def _execute(town: Town, statement: str, **values: object) -> None:
    async with town.market.command() as transaction:
        await transaction.run(text(statement), **values)


def _account(change: Callable[[dict[str, Any]], object]) -> Any:
    def alter(request: httpx.Request, document: dict[str, Any]) -> dict[str, Any]:
        if request.url.path.count("/") == 2 and request.url.path.startswith("/accounts/"):
            change(document)
        return document

    return alter
