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
    told = {account for change in changes for account in _accounts(change)}
    balances = await books.post(transaction, posting, told)
    if balances is None:
        return False
    for change in changes:
        _tell(transaction, posting, change, balances)
    return True


def book_on_locked(transaction: Transaction, posting: Posting, change: BalanceChange, purse: Purse) -> None:
    """Book between the two accounts of a user whose purse is locked, and tell. Booked already, the transaction fails."""
    held = dict(zip(_accounts(change), (purse.available, purse.reserved), strict=True))
    _tell(transaction, posting, change, books.post_on_locked(transaction, posting, held))


def _accounts(change: BalanceChange) -> tuple[str, str]:
    return ledger.available(change.user_id), ledger.reserved(change.user_id)


def _tell(transaction: Transaction, posting: Posting, change: BalanceChange, balances: Mapping[str, int]) -> None:
    available, reserved = _accounts(change)
    payload = {
        "userId": change.user_id,
        "amount": format_amount(change.amount_stroops),
        "source": change.source,
        "available": format_amount(balances[available]),
        "reserved": format_amount(balances[reserved]),
    }
    subjects = {"orderId": change.order_id, "depositId": change.deposit_id, "withdrawalId": change.withdrawal_id}
    payload |= {name: subject for name, subject in subjects.items() if subject}
    if posting.transaction_hash:
        payload["transactionHash"] = posting.transaction_hash
    transaction.emit(Event(change.event_type, change.user_id, payload, (change.user_id,)))
