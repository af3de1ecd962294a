"""What the product promises when something falls over or says no: nothing lost, nothing twice, and a sentence that says why."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from offerhub.commands.deposits import book_payments
from offerhub.domain import ledger
from offerhub.domain.payments import IncomingPayment
from tests.e2e.rig import Rig, acting

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

AMOUNT = 250_000_000


async def test_worker_killed_in_the_middle_of_a_release(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT, milestones=2)
    await rig.funded(order.id)
    accepted = await rig.accept_release(order.id)
    await rig.until(lambda: rig.attempts_of(accepted.operation.id))
    rig.kill_worker()
    await rig.start_worker(wait_for_wallets=0)
    await rig.succeeded(accepted)
    attempts = await rig.attempts_of(accepted.operation.id)
    assert sorted(attempt.state for attempt in attempts) == ["CONFIRMED"] * 5
    await rig.assert_books_equal_chain(buyer, seller)


async def test_escrow_refused_by_trustless_work_can_be_funded_later(rig: Rig) -> None:
    """The books say that the buyer has the money, the chain does not: the operation fails and the order rests where it was."""
    buyer, seller = await rig.user(), await rig.user()
    await _credit_without_chain(rig, str(buyer.public_key), AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(order.id))
    refused = await rig.finished(await rig.accept_funding(order.id))
    assert refused.status == "FAILED"
    assert refused.error is not None
    assert refused.error["code"] == "ESCROW_REJECTED"
    resting = await rig.read_order(order.id)
    assert (resting.state, resting.the_escrow.state) == ("ESCROW_FUNDING", "CREATED")
    assert await rig.balance(ledger.reserved(buyer.id)) == AMOUNT
    await rig.deposit(buyer, AMOUNT)
    await rig.succeeded(await rig.accept_funding(order.id))
    await rig.succeeded(await rig.accept_release(order.id))


async def test_release_that_does_not_match_the_quote_is_booked_by_nobody_until_a_person_says_so(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    await _set_fee(rig, order.id, 100)
    accepted = await rig.accept_release(order.id)
    await rig.until(lambda: rig.events_of("ledger.mismatch", accepted.operation.id))
    assert (await rig.operation(accepted.operation.id)).status == "RUNNING"
    assert await rig.balance(ledger.available(seller.id)) == 0
    await _set_fee(rig, order.id, 250)
    await (await rig.temporal()).get_workflow_handle(f"release/{order.id}").signal("retry")
    await rig.succeeded(accepted)
    await rig.assert_books_equal_chain(buyer, seller)


async def test_movements_that_were_read_incompletely_are_read_again_on_retry(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    await _set_fee(rig, order.id, 100)
    accepted = await rig.accept_release(order.id)
    await rig.until(lambda: rig.events_of("ledger.mismatch", accepted.operation.id))
    await _set_fee(rig, order.id, 250)
    # As if Horizon had shown the transaction before its payments when it was settled.
    async with rig.database.transaction(acting()) as transaction:
        lost = "UPDATE attempts SET movements = '[]' WHERE operation_id = :id RETURNING id"
        assert await transaction.rows(text(lost), id=accepted.operation.id)
    await (await rig.temporal()).get_workflow_handle(f"release/{order.id}").signal("retry")
    await rig.succeeded(accepted)
    audited = text("SELECT count(*) AS entries FROM audit_log WHERE action = 'envelope.movements_read_again'")
    async with rig.database.reading() as reader:
        assert [row["entries"] for row in await reader.rows(audited)] == [1]
    await rig.assert_books_equal_chain(buyer, seller)


async def test_envelope_for_another_contract_code_is_never_signed(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    rig.kill_worker()
    rig.settings["TRUSTLESS_WORK_WASM_HASH"] = "ab" * 32
    try:
        await rig.start_worker(wait_for_wallets=0)
        accepted = await rig.accept_escrow(order.id)
        refused = await rig.finished(accepted)
    finally:
        rig.settings.clear()
        rig.kill_worker()
        await rig.start_worker(wait_for_wallets=0)
    assert refused.error is not None
    assert refused.error["code"] == "PROVIDER_ERROR"
    assert await rig.attempts_of(accepted.operation.id) == []
    told = await rig.events_of("signing.refused", accepted.operation.id)
    assert [event["field"] for event in told] == ["wasm_hash"]
    assert (await rig.read_order(order.id)).state == "FUNDS_RESERVED"
    await rig.funded(order.id)


async def test_worker_stops_cleanly(rig: Rig) -> None:
    assert await rig.stop_worker() == 0
    await rig.start_worker(wait_for_wallets=0)


async def _credit_without_chain(rig: Rig, recipient: str, amount_stroops: int) -> None:
    async with rig.database.transaction(acting()) as transaction:
        cursor = (await transaction.rows(text("SELECT cursor FROM stream_cursors")))[0]["cursor"]
        payment = IncomingPayment(
            chain_operation=f"none-{recipient}",
            change_index=0,
            transaction_hash="0" * 64,
            sender="G" + "A" * 55,
            recipient=recipient,
            amount_stroops=amount_stroops,
            asset="USDC",
            closed_at=transaction.now,
        )
        assert await book_payments(transaction, [payment], cursor) == 1


async def _set_fee(rig: Rig, order_id: str, bps: int) -> None:
    async with rig.database.transaction(acting()) as transaction:
        await transaction.run(text("UPDATE orders SET platform_fee_bps = :bps WHERE id = :id"), bps=bps, id=order_id)
