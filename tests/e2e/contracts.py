"""Orders and their contracts at the end of a verb: is the chain where the books and the order say it is?"""

from __future__ import annotations

from offerhub.domain import ledger
from offerhub.domain.fees import Payout, pay_out
from offerhub.domain.money import format_amount
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.e2e.outside import OutsideAccount
from tests.e2e.rig import FEE_BPS, Rig


async def assert_paid(rig: Rig, order: OrderRecord, parties: tuple[UserRecord, UserRecord], payout: Payout) -> None:
    """Buyer and seller had nothing but the order's amount before; the contract is empty."""
    buyer, seller = parties
    escrow = order.the_escrow
    assert await rig.balance(ledger.in_escrow(escrow.id)) == 0 == await rig.in_contract(escrow.contract_id)
    assert await rig.balance(ledger.available(buyer.id)) == payout.buyer_stroops == await rig.on_chain(str(buyer.public_key))
    assert await rig.balance(ledger.available(seller.id)) == payout.seller_stroops == await rig.on_chain(str(seller.public_key))
    await rig.assert_books_equal_chain(buyer, seller)


def shares(to_seller: int, to_buyer: int, fee_bps: int = FEE_BPS) -> Payout:
    """Gross shares; what is left of them after the contract's fees."""
    return pay_out(to_seller, to_buyer, fee_bps)


def together(*payouts: Payout) -> Payout:
    """Fees are floored payout by payout."""
    return Payout(*(sum(parts) for parts in zip(*(vars(one).values() for one in payouts), strict=True)))


async def trade(rig: Rig, amount_stroops: int) -> tuple[UserRecord, UserRecord]:
    """Two parties, the buyer with exactly this much."""
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, amount_stroops)
    return buyer, seller


async def gift(rig: Rig, contract_id: str | None, amount_stroops: int) -> None:
    """Somebody outside pays into the contract."""
    await (await stranger(rig, amount_stroops)).pay_into_contract(str(contract_id), amount_stroops)


async def stranger(rig: Rig, amount_stroops: int) -> OutsideAccount:
    """With so much USDC."""
    account = await OutsideAccount.open(rig.sandbox)
    await rig.control("faucet", {"address": account.address, "amount": format_amount(amount_stroops)})
    return account
