"""Money out of a user's wallet on the real parts: paid once, booked as the chain moved it, given back only by proof."""

from __future__ import annotations

import httpx
import pytest

from api.app import create_services
from offerhub.commands.order_facts import Accepted
from offerhub.commands.withdrawals import AcceptedWithdrawal
from offerhub.domain import ledger
from offerhub.domain.messages import ORDERS_QUEUE, WithdrawalInput
from offerhub.domain.withdrawals import Memo, MemoType
from tests.e2e.outside import OutsideAccount, accept_withdrawal, read_withdrawal
from tests.e2e.rig import Rig
from tests.integration.api.conftest import MASTER, serving, settings

pytestmark = pytest.mark.asyncio(loop_scope="session")

AMOUNT = 250_000_017


@pytest.mark.parametrize(
    ("memo", "shown"),
    [
        (None, None),
        (Memo(MemoType.TEXT, "invoice 7"), "invoice 7"),
        (Memo(MemoType.ID, str(2**64 - 1)), str(2**64 - 1)),
        (Memo(MemoType.HASH, "00" * 31 + "01"), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE="),
    ],
    ids=["no memo", "text", "id", "hash"],
)
async def test_a_withdrawal_pays_its_destination_and_closes_the_books(rig: Rig, memo: Memo | None, shown: str | None) -> None:
    user, outside = await rig.user(), await OutsideAccount.open(rig.sandbox)
    await rig.deposit(user, 3 * AMOUNT)
    world = await rig.balance(ledger.WORLD_STELLAR)
    accepted = await accept_withdrawal(rig, user, outside.address, AMOUNT, memo)
    operation = await rig.succeeded(accepted)
    withdrawal = await read_withdrawal(rig, accepted.withdrawal.id)
    assert (withdrawal.state, [withdrawal.transaction_hash]) == ("WITHDRAWAL_COMPLETED", operation.transaction_hashes)
    assert await rig.on_chain(outside.address) == AMOUNT
    assert [payment["transaction"].get("memo") for payment in await outside.payments()] == [shown]
    assert await rig.balance(ledger.in_transit(withdrawal.id)) == 0
    assert await rig.balance(ledger.WORLD_STELLAR) - world == AMOUNT
    await rig.assert_books_equal_chain(user)


async def test_over_http_from_request_to_receipt(rig: Rig) -> None:
    user, outside = await rig.user(), await OutsideAccount.open(rig.sandbox)
    await rig.deposit(user, AMOUNT)
    environment = {name.lower(): value for name, value in rig.sandbox.environment.items()}
    services = create_services(settings(rig.postgres_url, rig.redis_url, **environment))
    async with serving(services) as url, httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {MASTER}"}) as client:
        wish = {"userId": user.id, "amount": "25.0000017", "destinationType": "stellar", "destination": outside.address, "memo": "rent"}
        key = {"Idempotency-Key": "e2e-withdrawal"}
        answer = await client.post("/withdrawals", json=wish, headers=key, timeout=30)
        assert (answer.status_code, answer.json()["status"]) == (201, "WITHDRAWAL_COMPLETED"), answer.text
        again = await client.post("/withdrawals", json=wish, headers=key, timeout=30)
        assert (again.status_code, again.json()) == (201, answer.json())
        balance = (await client.get(f"/balances/{user.id}")).json()
    assert (balance["available"], balance["inTransit"], balance["total"]) == ("0.00", "0.00", "0.00")
    (payment,) = await outside.payments()
    assert (payment["amount"], payment["transaction"]["memo"]) == ("25.0000017", "rent")
    assert payment["transaction"]["inner_transaction"]["hash"] == answer.json()["transactionHash"]


async def test_what_the_ledger_refuses_is_given_back(rig: Rig) -> None:
    """The destination looked fine when the withdrawal was accepted; then its owner removed the trustline."""
    user, outside = await rig.user(), await OutsideAccount.open(rig.sandbox, limit_stroops=0)
    await rig.deposit(user, AMOUNT)
    accepted = await accept_withdrawal(rig, user, outside.address, AMOUNT)
    operation = await rig.finished(accepted)
    assert operation.error is not None
    assert operation.error["code"] == "WITHDRAWAL_DESTINATION_INVALID"
    assert "op_no_trust" in operation.error["message"]
    withdrawal = await read_withdrawal(rig, accepted.withdrawal.id)
    assert (withdrawal.state, withdrawal.transaction_hash) == ("WITHDRAWAL_FAILED", None)
    assert withdrawal.failure == {"code": operation.error["code"], "message": operation.error["message"]}
    assert [attempt.state for attempt in await rig.attempts_of(operation.id)] == ["REJECTED"]
    assert await rig.balance(ledger.available(user.id)) == AMOUNT
    await rig.assert_books_equal_chain(user)


async def test_withdrawals_and_orders_of_one_user_take_turns_on_his_account(rig: Rig) -> None:
    user, seller, outside = await rig.user(), await rig.user(), await OutsideAccount.open(rig.sandbox)
    await rig.deposit(user, 6 * AMOUNT)
    order = await rig.order(user, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(order.id))
    accepted = [await accept_withdrawal(rig, user, outside.address, AMOUNT) for _ in range(5)]
    funding = await rig.accept_funding(order.id)
    every: list[Accepted | AcceptedWithdrawal] = [*accepted, funding]
    for one in every:
        await rig.succeeded(one)
    attempts = [attempt for one in every for attempt in await rig.attempts_of(one.operation.id)]
    assert [attempt.state for attempt in attempts] == ["CONFIRMED"] * 6
    assert await rig.on_chain(outside.address) == 5 * AMOUNT
    await rig.assert_books_equal_chain(user)


async def test_a_workflow_started_again_pays_nothing_more(rig: Rig) -> None:
    user, outside = await rig.user(), await OutsideAccount.open(rig.sandbox)
    await rig.deposit(user, 2 * AMOUNT)
    accepted = await accept_withdrawal(rig, user, outside.address, AMOUNT)
    await rig.succeeded(accepted)
    client, start = await rig.temporal(), WithdrawalInput(accepted.withdrawal.id, accepted.operation.id)
    first = client.get_workflow_handle(accepted.operation.workflow_id)
    assert await first.result() == "WITHDRAWAL_COMPLETED"
    again = await client.start_workflow("Withdrawal", start, id=accepted.operation.workflow_id, task_queue=ORDERS_QUEUE)
    assert await again.result() == "WITHDRAWAL_COMPLETED"
    assert len(await rig.attempts_of(accepted.operation.id)) == len(await outside.payments()) == 1


@pytest.mark.slow
async def test_a_dead_envelope_is_followed_by_one_that_bids_more(rig: Rig) -> None:
    """Fees have risen above the first bid: the network refuses it until it is too late for it."""
    user, outside = await rig.user(), await OutsideAccount.open(rig.sandbox)
    await rig.deposit(user, AMOUNT)
    async with httpx.AsyncClient(base_url=rig.sandbox.url, timeout=60) as control:
        surge = {"kind": "fee_surge", "feeStroops": 40_000, "account": user.public_key}
        fault = (await control.post("/control/faults", json=surge)).raise_for_status().json()
        try:
            accepted = await accept_withdrawal(rig, user, outside.address, AMOUNT)
            await rig.until(lambda: _is_submitted(rig, accepted.operation.id))
            (await control.post("/control/clock/advance", json={"seconds": 600})).raise_for_status()
            # A ledger closes whenever somebody does something.
            await OutsideAccount.open(rig.sandbox)
            await rig.succeeded(accepted)
        finally:
            await control.delete(f"/control/faults/{fault['id']}")
    attempts = await rig.attempts_of(accepted.operation.id)
    assert [attempt.state for attempt in attempts] == ["DEAD", "CONFIRMED"]
    assert len(await outside.payments()) == 1
    await rig.assert_books_equal_chain(user)


async def _is_submitted(rig: Rig, operation_id: str) -> bool:
    return any(attempt.submissions for attempt in await rig.attempts_of(operation_id))


async def test_an_account_used_without_us_costs_an_envelope_and_not_the_withdrawal(rig: Rig) -> None:
    """Our own count of the account's sequence is behind the network's: the first envelope dies, the next one knows better."""
    user, outside = await rig.user(), await OutsideAccount.open(rig.sandbox)
    await rig.deposit(user, AMOUNT)
    await rig.succeeded(await accept_withdrawal(rig, user, outside.address, AMOUNT))
    await rig.deposit(user, 2 * AMOUNT)
    await rig.withdraw_behind_our_back(user)
    accepted = await accept_withdrawal(rig, user, outside.address, AMOUNT)
    operation = await rig.finished(accepted)
    assert operation.error is not None
    assert operation.error["code"] == "INSUFFICIENT_FUNDS"
    assert [attempt.state for attempt in await rig.attempts_of(operation.id)] == ["DEAD", "REJECTED"]
    assert await rig.balance(ledger.available(user.id)) == 2 * AMOUNT, "the books are as before; the reconciler reports the theft"
