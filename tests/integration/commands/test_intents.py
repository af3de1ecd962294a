"""What custody signs for: every intent has one spelling and belongs to the plan of its operation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from activities.intents import activation_intent_id, escrow_step, own_step, trust_intent_id
from offerhub.commands.attempts import take_turn
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.operations import begin_operation
from offerhub.commands.reserve import reserve_order
from offerhub.commands.wallets import begin_activation, record_wallets
from offerhub.commands.withdrawals import begin_withdrawal
from offerhub.domain.errors import DomainError
from offerhub.domain.intents import ActivateWallets, TrustAsset
from offerhub.domain.plans import PAY_OUT, intent_id
from offerhub.domain.states import AttemptState
from offerhub.storage import operations, wallets
from offerhub.storage.unit_of_work import new_id
from tests.integration.commands.market import PLATFORM, SIGNER, Market, wallet

UNIT = 10_000_000
SPONSOR = "GSPONSOR"


async def refused(market: Market, *spellings: str) -> None:
    async with market.database.reading() as reader:
        for spelling in spellings:
            for derive in (own_step, escrow_step):
                with pytest.raises(LookupError):
                    await derive(reader, spelling)


async def test_a_withdrawal_is_paid_under_one_name_and_under_no_other_step(market: Market) -> None:
    user = await market.user(100 * UNIT)
    operation_id = (await market.withdraw(user, 40 * UNIT)).operation.id
    async with market.command() as transaction:
        await begin_withdrawal(transaction, operation_id)
    async with market.database.reading() as reader:
        assert (await own_step(reader, intent_id(operation_id, PAY_OUT))).operation is not None
    await refused(market, *(f"{operation_id}/{name}" for name in ("again/pay_out", "pay_out:0", "/pay_out", "fund", "fund/pay_out")))


async def test_an_order_is_carried_out_by_the_steps_of_its_operation_alone(market: Market) -> None:
    buyer, seller = await market.user(100 * UNIT), await market.user()
    order = await market.order(buyer, seller, 40 * UNIT)
    async with market.command() as transaction:
        await reserve_order(transaction, order.id)
        operation_id = (await request_escrow(transaction, order.id)).operation.id
        await begin_operation(transaction, operation_id)
    async with market.database.reading() as reader:
        assert (await escrow_step(reader, f"{operation_id}/deploy")).intent.source == SIGNER
    others = ("deploy:0", "deploy/", "again/deploy", "fund", "fund:7", "release", "approve_milestone:0", "pay_out")
    await refused(market, *(f"{operation_id}/{name}" for name in others))


async def test_milestones_beyond_the_orders_own_are_no_step(market: Market) -> None:
    buyer, seller = await market.user(100 * UNIT), await market.user()
    order = await market.order(buyer, seller, 40 * UNIT)
    async with market.command() as transaction:
        await reserve_order(transaction, order.id)
        accepted = await request_escrow(transaction, order.id)
        await operations.finish(transaction, accepted.operation.id)
        release = replace(accepted.operation, id=new_id("op"), kind="release")
        await operations.insert(transaction, release)
    beyond = len(order.milestones)
    async with market.database.reading() as reader:
        for name in (f"approve_milestone:{beyond}", "complete_milestone:-1", "deploy"):
            with pytest.raises(LookupError, match="is no step"):
                await escrow_step(reader, f"{release.id}/{name}")
        with pytest.raises(LookupError, match="has no contract yet"):
            await escrow_step(reader, f"{release.id}/approve_milestone:{beyond - 1}")


async def test_the_platforms_own_transactions_have_one_name_each(market: Market) -> None:
    async with market.command() as transaction:
        await record_wallets(transaction, [wallet("SPONSOR", SPONSOR), wallet(), wallet()])
        await wallets.move(transaction, [SPONSOR], "PREPARED", "ACTIVATING")
        await wallets.mark_ready(transaction, [SPONSOR])
        first, second = [one.public_key for one in await begin_activation(transaction)]
    async with market.database.reading() as reader:
        assert (await own_step(reader, trust_intent_id(PLATFORM))).intent == TrustAsset(PLATFORM)
        assert (await own_step(reader, activation_intent_id(first))).intent == ActivateWallets(SPONSOR, (first, second))
    others = (f"platform/{SIGNER}/trust", f"platform/{first}/trust", f"platform/{PLATFORM}/again", f"platform/{PLATFORM}")
    await refused(market, *others, f"wallets/{first}/again", f"wallets/{first}", f"wallets/{second}/activate")


async def test_nothing_is_signed_for_an_operation_that_has_ended(market: Market) -> None:
    """Even by one who holds the account's turn."""
    user = await market.user(100 * UNIT)
    operation_id = (await market.withdraw(user, 40 * UNIT)).operation.id
    dead = await market.sign_withdrawal(operation_id, str(user.public_key))
    await market.settle(dead, AttemptState.DEAD)
    async with market.command() as transaction:
        await operations.finish(transaction, operation_id, {"code": "X"})
        assert (await take_turn(transaction, dead.source, dead.intent_id)).ahead == 0
    with pytest.raises(DomainError, match="has ended"):
        await market.record(replace(dead, id=new_id("att"), inner_hash="later"))
    assert [attempt.state for attempt in await market.attempts(operation_id)] == ["DEAD"]
