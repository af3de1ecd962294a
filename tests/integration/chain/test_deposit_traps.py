"""Every line of ``reference/stellar.md`` §1.6, tried on a real network: what fools or blinds a reader of deposits."""

from __future__ import annotations

import asyncio

from sqlalchemy import text
from stellar_sdk import Asset, MuxedAccount, PathPaymentStrictReceive, PathPaymentStrictSend, Payment

from offerhub.commands.deposits import book_payments
from offerhub.commands.orders import CreateOrder, Terms, create_order
from offerhub.commands.users import CreateUser, create_user
from offerhub.domain.payments import IncomingPayment
from offerhub.domain.states import EscrowState
from offerhub.storage import orders
from offerhub.storage.orders import EscrowRecord
from tests.integration.chain.town import Town


async def test_the_right_code_of_the_wrong_issuer_is_recorded_and_not_credited(town: Town) -> None:
    forger = await town.account()
    fake = Asset("USDC", forger.public_key)
    user = await town.user(fake)
    await town.send(forger, Payment(str(user.public_key), fake, "500"))
    await town.read_all()
    [refused] = await town.recorded(user)
    assert (refused.status, refused.asset) == ("REFUSED", f"USDC:{forger.public_key}")
    assert await town.market.balance(user) == (0, 0, 0)
    assert await town.events("balance.credited") == []


async def test_xlm_is_recorded_and_not_credited(town: Town) -> None:
    stranger, user = await town.account(), await town.user()
    await town.send(stranger, *(Payment(str(user.public_key), Asset.native(), "0.0000001") for _ in range(20)))
    await town.read_all()
    assert [(one.status, one.asset, one.amount) for one in await town.recorded(user)] == [("REFUSED", "XLM", 1)] * 20
    assert await town.market.balance(user) == (0, 0, 0)


async def test_a_failed_transaction_is_nothing(town: Town) -> None:
    stranger, user = await town.account(), await town.user()
    await town.faucet(stranger.public_key, "10.00")
    too_much = [Payment(str(user.public_key), town.usdc, "6"), Payment(str(user.public_key), town.usdc, "6")]
    answer = await town.send(stranger, *too_much)
    assert answer["extras"]["result_codes"]["transaction"] == "tx_failed"
    await town.faucet(str(user.public_key), "1.00")
    await town.read_all()
    assert [one.amount for one in await town.recorded(user)] == [10_000_000]


async def test_several_payments_of_one_transaction_are_all_credited(town: Town) -> None:
    stranger, one, other = await town.account(), await town.user(), await town.user()
    await town.faucet(stranger.public_key, "100.00")
    paid = [(one, "1"), (other, "2"), (one, "3"), (one, "3")]
    await town.send(stranger, *(Payment(str(user.public_key), town.usdc, amount) for user, amount in paid), memo="invoice 7")
    await town.read_all()
    await town.read_all()
    assert [deposit.amount for deposit in await town.recorded(one)] == [10_000_000, 30_000_000, 30_000_000]
    assert len({deposit.transaction_hash for deposit in await town.recorded()}) == 1
    assert {deposit.memo for deposit in await town.recorded()} == {"invoice 7"}
    assert await town.market.balance(one) == (70_000_000, 0, 0)
    assert await town.market.balance(other) == (20_000_000, 0, 0)


async def test_a_path_payment_credits_what_arrives(town: Town) -> None:
    stranger, user = await town.account(), await town.user()
    await town.faucet(stranger.public_key, "100.00")
    receive = PathPaymentStrictReceive(str(user.public_key), town.usdc, "9", town.usdc, "7", [])
    send = PathPaymentStrictSend(str(user.public_key), town.usdc, "5", town.usdc, "5", [])
    await town.send(stranger, receive, send)
    await town.read_all()
    assert [one.amount for one in await town.recorded(user)] == [70_000_000, 50_000_000]


async def test_a_transfer_of_the_asset_contract_is_a_deposit(town: Town) -> None:
    stranger, user = await town.account(), await town.user()
    await town.faucet(stranger.public_key, "5.00")
    await town.contract_transfer(stranger, str(user.public_key), 12_345)
    await town.read_all()
    [deposit] = await town.recorded(user)
    assert (deposit.status, deposit.amount, deposit.sender) == ("CREDITED", 12_345, stranger.public_key)
    assert (await town.reconcile())[1] == []


async def test_what_our_own_escrow_pays_out_is_not_a_deposit(town: Town) -> None:
    """Its release books it; a contract that is not ours is a stranger like any other."""
    user, other = await town.user(), await town.user()
    contracts = {name: f"C{name:A<55}" for name in ("OURS", "THEIRS")}
    async with town.market.command() as transaction:
        order = await create_order(transaction, CreateOrder(user.id, other.id, 10, "USDC", "A logo"), Terms())
        now, nothing = transaction.now, (None,) * 4
        await orders.insert_escrow(transaction, EscrowRecord("esc_1", order.id, EscrowState.CREATING, 10, "GSIGNER", *nothing, now, now))
        await transaction.run(text("UPDATE escrows SET contract_id = :id"), id=contracts["OURS"])
        paid = [
            IncomingPayment(str(number), 0, "ab" * 32, contract, str(other.public_key), 5, "USDC", transaction.now)
            for number, contract in enumerate(contracts.values(), 1)
        ]
        assert await book_payments(transaction, paid, "2") == 1
    assert [deposit.sender for deposit in await town.recorded(other)] == [contracts["THEIRS"]]


async def test_a_muxed_destination_is_the_wallet_and_keeps_its_number(town: Town) -> None:
    stranger, user = await town.account(), await town.user()
    await town.faucet(stranger.public_key, "5.00")
    await town.send(stranger, Payment(MuxedAccount(str(user.public_key), 4711), town.usdc, "5"))
    await town.read_all()
    [deposit] = await town.recorded(user)
    assert (deposit.status, deposit.recipient, deposit.muxed_id) == ("CREDITED", user.public_key, "4711")


async def test_a_payment_between_our_wallets_is_not_a_deposit(town: Town) -> None:
    one, other = await town.user(), await town.user()
    await town.faucet(str(one.public_key), "5.00")
    await town.pay_behind_our_back(one, (str(other.public_key), "2"), (str(one.public_key), "1"))
    await town.read_all()
    assert await town.recorded(other) == []
    assert [deposit.amount for deposit in await town.recorded(one)] == [50_000_000]


async def test_what_comes_to_a_wallet_in_stock_is_held_and_credited_to_its_first_user(town: Town) -> None:
    keypair = await town.wallet()
    await town.faucet(keypair.public_key, "5.00")
    await town.faucet(keypair.public_key, "0.0000001")
    await town.read_all()
    assert [(one.status, one.user_id) for one in await town.recorded()] == [("HELD", None)] * 2
    async with town.market.command() as transaction:
        user = await create_user(transaction, CreateUser("late"))
    assert user.public_key == keypair.public_key
    assert await town.market.balance(user) == (50_000_001, 0, 0)
    assert [one.status for one in await town.recorded(user)] == ["CREDITED"] * 2
    assert [event["amount"] for event in await town.events("balance.credited")] == ["5.00", "0.0000001"]


async def test_a_wallet_given_away_while_its_deposit_is_booked_loses_nothing(town: Town) -> None:
    for _ in range(6):
        await town.wallet()
    stock = list(town.keys)
    await asyncio.gather(*(town.faucet(address, "1.00") for address in stock))

    async def give(number: int) -> None:
        async with town.market.command() as transaction:
            await create_user(transaction, CreateUser(f"racing-{number}"))

    async with town.reading():
        await asyncio.gather(*(give(number) for number in range(6)))
        await town.until(lambda: _all_credited(town, 6))
    assert [one.status for one in await town.recorded()] == ["CREDITED"] * 6


async def _all_credited(town: Town, count: int) -> bool:
    return len(await town.events("balance.credited")) == count


async def test_the_same_payment_read_twice_is_credited_once(town: Town) -> None:
    user = await town.user()
    await town.faucet(str(user.public_key), "5.00")
    await asyncio.gather(town.read_all(), town.read_all(), town.read_all())
    assert await town.market.balance(user) == (50_000_000, 0, 0)
