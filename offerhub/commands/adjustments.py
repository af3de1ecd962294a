"""Correct a user's balance by hand: the only way to book what no command, deposit or outcome on the chain calls for."""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.reserve import insufficient_funds
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount
from offerhub.storage import ledger as books
from offerhub.storage import users
from offerhub.storage.unit_of_work import Transaction, new_id


@dataclass(frozen=True)
class AdjustBalance:
    """``change_stroops`` is positive for a credit. ``evidence`` says where somebody else finds why."""

    user_id: str
    change_stroops: int
    reason: str
    evidence: str
    transaction_hash: str | None = None


async def adjust_balance(transaction: Transaction, request: AdjustBalance) -> str:
    """Between the user's ``available`` and the outside; returns the adjustment's id. Raises ``USER_NOT_FOUND``, ``INSUFFICIENT_FUNDS``."""
    if await users.get(transaction, request.user_id) is None:
        details = {"userId": request.user_id}
        raise DomainError(ErrorCode.USER_NOT_FOUND, f"There is no user {request.user_id}.", details)
    account = ledger.available(request.user_id)
    available = (await books.lock_balances(transaction, (account,)))[account]
    if available + request.change_stroops < 0:
        raise insufficient_funds(available, -request.change_stroops)
    adjustment_id = new_id("adj")
    is_credit = request.change_stroops > 0
    change = BalanceChange(
        "balance.credited" if is_credit else "balance.debited",
        request.user_id,
        abs(request.change_stroops),
        "manual_credit" if is_credit else "manual_debit",
    )
    posting = ledger.adjustment(adjustment_id, request.user_id, request.change_stroops, request.transaction_hash)
    await book(transaction, posting, change)
    before = {"available": format_amount(available)}
    after = {
        "userId": request.user_id,
        "available": format_amount(available + request.change_stroops),
        "reason": request.reason,
        "evidence": request.evidence,
        "transactionHash": request.transaction_hash,
    }
    transaction.audit("ledger.adjusted", ("adjustment", adjustment_id), before, after)
    return adjustment_id
