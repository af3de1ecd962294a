"""Credit what the chain brought: deposits and the stream's cursor advance in one transaction, so none is missed or credited twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from offerhub.commands.balances import BalanceChange, book
from offerhub.domain import ledger
from offerhub.domain.events import Event
from offerhub.domain.money import USDC, format_amount
from offerhub.domain.payments import Anchor, IncomingPayment
from offerhub.storage import deposits, orders, streams, wallets
from offerhub.storage import ledger as books
from offerhub.storage.deposits import DepositRecord
from offerhub.storage.streams import StreamState
from offerhub.storage.unit_of_work import Transaction, new_id

PAYMENTS_STREAM = "payments"
STREAMED = "stellar_deposit"
RECONCILED = "stellar_deposit_reconciled"
_NOBODY_YET = "this wallet has no user yet; credited when it gets one"


async def payments_stream(transaction: Transaction) -> StreamState | None:
    """None before the first read."""
    return await streams.get(transaction, PAYMENTS_STREAM)


async def book_payments(transaction: Transaction, payments: Sequence[IncomingPayment], cursor: str) -> int:
    """Credit every payment to one of our users' wallets and move the cursor; returns how many were credited."""
    credited = await credit(transaction, payments, STREAMED)
    await streams.advance(transaction, PAYMENTS_STREAM, cursor)
    return len(credited)


async def credit(transaction: Transaction, payments: Sequence[IncomingPayment], source: str) -> list[DepositRecord]:
    """Record each payment to one of our wallets once, and credit what is ours to credit; returns what was credited now.

    Payments out of our own escrow contracts, between our own wallets and of the platform's own account are not deposits: the workflow
    that made them books them.
    Assets other than our USDC are recorded as REFUSED, with neither event nor posting: a stranger may send any number of them.
    """
    addresses = {address for payment in payments for address in (payment.recipient, payment.sender)}
    # Locked: a wallet is given to a user either before this or after it.
    owners = await wallets.lock_owners(transaction, sorted(addresses)) if payments else {}
    if not owners:
        return []
    contracts = await orders.our_contracts(transaction, sorted({p.sender for p in payments if p.sender.startswith("C")}))
    ours = {*owners, *contracts, *(account.public_key for account in await wallets.platform_accounts(transaction))}
    incoming = [payment for payment in payments if payment.recipient in owners and payment.sender not in ours]
    # Together: one after the other, somebody who holds the next user's account could wait for what we hold already.
    books.lock(transaction, _accounts({owners[payment.recipient] for payment in incoming}))
    credited: list[DepositRecord] = []
    for payment in incoming:
        deposit = _judge(payment, owners[payment.recipient])
        if not await deposits.insert(transaction, deposit):
            continue
        transaction.audit(f"deposit.{deposit.status.lower()}", ("deposit", deposit.id), None, _facts(deposit))
        if deposit.status == "CREDITED":
            await _book(transaction, deposit, source)
            credited.append(deposit)
    return credited


async def credit_held(transaction: Transaction, user_id: str, public_key: str) -> None:
    """What came to a wallet while it was in stock belongs to the user who gets it."""
    for deposit in await deposits.held(transaction, public_key):
        await deposits.credit_held(transaction, deposit.id, user_id)
        after = {"status": "CREDITED", "userId": user_id}
        transaction.audit("deposit.credited", ("deposit", deposit.id), {"status": deposit.status}, after)
        await _book(transaction, replace(deposit, user_id=user_id), STREAMED)


async def keep_anchor(transaction: Transaction, anchor: Anchor) -> None:
    """The stream is on this chain and goes on; says so when it had been stopped."""
    await streams.set_anchor(transaction, PAYMENTS_STREAM, anchor)
    if await streams.resume(transaction, PAYMENTS_STREAM):
        transaction.emit(Event("deposits.resumed", PAYMENTS_STREAM, {"stream": PAYMENTS_STREAM, "ledger": str(anchor.ledger)}))
        transaction.audit("deposits.resumed", ("stream", PAYMENTS_STREAM), None, {"ledger": str(anchor.ledger)})


async def halt_deposits(transaction: Transaction, reason: str, cursor: str) -> bool:
    """Reading on would skip payments or book another chain's: stop, and say so once. False when that was said already."""
    if not await streams.halt(transaction, PAYMENTS_STREAM, reason):
        return False
    transaction.emit(Event("deposits.halted", PAYMENTS_STREAM, {"stream": PAYMENTS_STREAM, "reason": reason, "cursor": cursor}))
    transaction.audit("deposits.halted", ("stream", PAYMENTS_STREAM), {"cursor": cursor}, {"reason": reason})
    return True


async def accept_gap(transaction: Transaction, first_ledger: int, note: str) -> None:
    """A person decided to go on without the history before ``first_ledger``; reconciliation states what came in it."""
    before = await streams.get(transaction, PAYMENTS_STREAM)
    await streams.advance(transaction, PAYMENTS_STREAM, str(first_ledger << 32))
    cursor = before.cursor if before else None
    transaction.audit("deposits.gap_accepted", ("stream", PAYMENTS_STREAM), {"cursor": cursor}, {"ledger": str(first_ledger), "note": note})


def _accounts(user_ids: Iterable[str | None]) -> list[str]:
    """All that crediting them changes or tells of."""
    theirs = [account for user_id in user_ids if user_id for account in (ledger.available(user_id), ledger.reserved(user_id))]
    return [*theirs, ledger.WORLD_STELLAR] if theirs else []


def _judge(payment: IncomingPayment, owner: str | None) -> DepositRecord:
    status, reason = "CREDITED", None
    if payment.asset != USDC:
        status, reason = "REFUSED", f"only USDC of the configured issuer is credited, this is {payment.asset}"
    elif owner is None:
        status, reason = "HELD", _NOBODY_YET
    return DepositRecord(
        id=new_id("dep"),
        chain_operation=payment.chain_operation,
        change_index=payment.change_index,
        transaction_hash=payment.transaction_hash,
        user_id=owner,
        recipient=payment.recipient,
        sender=payment.sender,
        amount=payment.amount_stroops,
        asset=payment.asset,
        status=status,
        reason=reason,
        memo=payment.memo,
        muxed_id=payment.muxed_id,
        ledger_closed_at=payment.closed_at,
    )


def _facts(deposit: DepositRecord) -> dict[str, str | None]:
    return {
        "status": deposit.status,
        "userId": deposit.user_id,
        "amount": format_amount(deposit.amount),
        "asset": deposit.asset,
        "sender": deposit.sender,
        "transactionHash": deposit.transaction_hash,
    }


async def _book(transaction: Transaction, deposit: DepositRecord, source: str) -> None:
    assert deposit.user_id is not None, "only what has an owner is credited"
    change = BalanceChange("balance.credited", deposit.user_id, deposit.amount, source, deposit_id=deposit.id)
    await book(transaction, ledger.deposit(deposit.id, deposit.user_id, deposit.amount, deposit.transaction_hash), change)
