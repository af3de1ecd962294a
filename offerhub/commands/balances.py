"""A posting together with the ``balance.…`` event that tells a user's side of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offerhub.domain import ledger
from offerhub.domain.events import BALANCE_SOURCES, Event
from offerhub.domain.ledger import Posting
from offerhub.domain.money import format_amount
from offerhub.storage import ledger as books
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import Purse


@dataclass(frozen=True)
class BalanceChange:
    """How a user experiences a posting: ``balance.credited``, ``.debited``, ``.reserved`` or ``.released``."""

    event_type: str
    user_id: str
    amount_stroops: int
    source: str
    order_id: str | None = None
    deposit_id: str | None = None
    withdrawal_id: str | None = None

    def __post_init__(self) -> None:
        if self.source not in BALANCE_SOURCES:
            raise ValueError(f"{self.source} is not a source of balance events")


async def book(transaction: Transaction, posting: Posting, *changes: BalanceChange) -> bool:
    """Book and tell; False (and nothing told) when the posting is booked already."""
    balances = await books.post(transaction, posting)
    if balances is None:
        return False
    for change in changes:
        await _tell(transaction, posting, change, balances)
    return True


def book_on_locked(transaction: Transaction, posting: Posting, change: BalanceChange, purse: Purse) -> None:
    """Book between the two accounts of a user whose purse is locked, and tell. Booked already, the transaction fails."""
    accounts = {ledger.available(change.user_id): purse.available, ledger.reserved(change.user_id): purse.reserved}
    _emit(transaction, posting, change, books.post_on_locked(transaction, posting, accounts))


async def _tell(transaction: Transaction, posting: Posting, change: BalanceChange, balances: Mapping[str, int]) -> None:
    accounts = (ledger.available(change.user_id), ledger.reserved(change.user_id))
    if not balances.keys() >= set(accounts):
        balances = await books.lock_balances(transaction, accounts)
    _emit(transaction, posting, change, balances)


def _emit(transaction: Transaction, posting: Posting, change: BalanceChange, balances: Mapping[str, int]) -> None:
    payload = {
        "userId": change.user_id,
        "amount": format_amount(change.amount_stroops),
        "source": change.source,
        "available": format_amount(balances[ledger.available(change.user_id)]),
        "reserved": format_amount(balances[ledger.reserved(change.user_id)]),
    }
    subjects = {"orderId": change.order_id, "depositId": change.deposit_id, "withdrawalId": change.withdrawal_id}
    payload |= {name: subject for name, subject in subjects.items() if subject}
    if posting.transaction_hash:
        payload["transactionHash"] = posting.transaction_hash
    transaction.emit(Event(change.event_type, change.user_id, payload, (change.user_id,)))
