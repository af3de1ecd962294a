"""Credit what the chain brought: deposits and the stream's cursor advance in one transaction, so none is missed or credited twice."""

from __future__ import annotations

from collections.abc import Sequence

from offerhub.commands.balances import BalanceChange, book
from offerhub.domain import ledger
from offerhub.domain.money import USDC
from offerhub.domain.payments import IncomingPayment
from offerhub.storage import deposits, orders, wallets
from offerhub.storage.deposits import DepositRecord
from offerhub.storage.unit_of_work import Transaction, new_id

PAYMENTS_STREAM = "payments"


async def payments_cursor(transaction: Transaction) -> str | None:
    """Where reading goes on; None before the first read."""
    return await deposits.cursor(transaction, PAYMENTS_STREAM)


async def book_payments(transaction: Transaction, payments: Sequence[IncomingPayment], cursor: str) -> int:
    """Credit every payment to one of our users' wallets and move the cursor; returns how many were credited.

    Payments out of our own escrow contracts and between our own wallets are not deposits: their own workflow books them.
    Assets other than our USDC are recorded as refused.
    """
    credited = 0
    if payments:
        owners = await wallets.owners(transaction, sorted({address for p in payments for address in (p.recipient, p.sender)}))
        contracts = await orders.our_contracts(transaction, sorted({p.sender for p in payments if p.sender.startswith("C")}))
        for payment in payments:
            owner = owners.get(payment.recipient)
            internal = payment.sender in owners or payment.sender in contracts
            if owner is not None and not internal:
                credited += await _book(transaction, owner, payment)
    await deposits.set_cursor(transaction, PAYMENTS_STREAM, cursor)
    return credited


async def _book(transaction: Transaction, user_id: str, payment: IncomingPayment) -> int:
    refused = None if payment.asset == USDC else f"only USDC of the configured issuer is credited, this is {payment.asset}"
    deposit = DepositRecord(
        id=new_id("dep"),
        chain_operation=payment.chain_operation,
        change_index=payment.change_index,
        transaction_hash=payment.transaction_hash,
        user_id=user_id,
        recipient=payment.recipient,
        sender=payment.sender,
        amount=payment.amount_stroops,
        asset=payment.asset,
        status="REFUSED" if refused else "CREDITED",
        reason=refused,
        memo=payment.memo,
        ledger_closed_at=payment.closed_at,
    )
    if not await deposits.insert(transaction, deposit) or refused:
        return 0
    change = BalanceChange("balance.credited", user_id, payment.amount_stroops, "stellar_deposit", deposit_id=deposit.id)
    posting = ledger.deposit(deposit.id, user_id, payment.amount_stroops, payment.transaction_hash)
    return int(await book(transaction, posting, change))
