"""Double-entry postings: balanced sets of integer entries between named accounts (``model.md`` §3).

A posting is unique by ``(reference, kind)``, so booking the same thing again finds the first booking.
"""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.fees import Payout

PLATFORM_REVENUE = "platform:revenue"
PROTOCOL_FEES = "protocol:fees"
WORLD_STELLAR = "world:stellar"


def available(user_id: str) -> str:
    return f"user:{user_id}:available"


def reserved(user_id: str) -> str:
    return f"user:{user_id}:reserved"


def in_escrow(escrow_id: str) -> str:
    return f"escrow:{escrow_id}"


def in_transit(withdrawal_id: str) -> str:
    return f"transit:{withdrawal_id}"


@dataclass(frozen=True)
class Entry:
    account: str
    amount_stroops: int


@dataclass(frozen=True)
class Posting:
    """Entries that sum to zero, none of them zero. ``transaction_hash`` is the chain's evidence where there is one."""

    reference: str
    kind: str
    entries: tuple[Entry, ...]
    transaction_hash: str | None = None

    def __post_init__(self) -> None:
        if sum(entry.amount_stroops for entry in self.entries) != 0:
            raise LedgerMismatchError(f"posting {self.reference}/{self.kind} does not balance")
        if len(self.entries) < 2 or any(entry.amount_stroops == 0 for entry in self.entries):
            raise LedgerMismatchError(f"posting {self.reference}/{self.kind} has an empty entry")


@dataclass(frozen=True)
class _Subject:
    """What a posting is about, and the chain's evidence for it."""

    reference: str
    kind: str
    transaction_hash: str | None = None


def deposit(deposit_id: str, user_id: str, amount_stroops: int, transaction_hash: str) -> Posting:
    return _move(_Subject(deposit_id, "deposit", transaction_hash), WORLD_STELLAR, available(user_id), amount_stroops)


def adjustment(adjustment_id: str, user_id: str, change_stroops: int, transaction_hash: str | None) -> Posting:
    """By hand: what the chain did to a wallet and the books have missed. Positive is more for the user."""
    subject = _Subject(adjustment_id, "adjustment", transaction_hash)
    if change_stroops > 0:
        return _move(subject, WORLD_STELLAR, available(user_id), change_stroops)
    return _move(subject, available(user_id), WORLD_STELLAR, -change_stroops)


def reserve(order_id: str, buyer_id: str, amount_stroops: int) -> Posting:
    return _move(_Subject(order_id, "reserve"), available(buyer_id), reserved(buyer_id), amount_stroops)


def unreserve(order_id: str, buyer_id: str, amount_stroops: int) -> Posting:
    return _move(_Subject(order_id, "unreserve"), reserved(buyer_id), available(buyer_id), amount_stroops)


def fund(escrow_id: str, buyer_id: str, amount_stroops: int, transaction_hash: str) -> Posting:
    return _move(_Subject(escrow_id, "fund", transaction_hash), reserved(buyer_id), in_escrow(escrow_id), amount_stroops)


@dataclass(frozen=True)
class Beneficiaries:
    """Between whom an escrow's money is divided."""

    escrow_id: str
    seller_id: str
    buyer_id: str


def pay_out(subject: tuple[str, str], parties: Beneficiaries, payout: Payout, transaction_hash: str) -> Posting:
    """What the contract paid, to the stroop; parts that are zero have no entry. ``subject`` is the posting's (reference, kind)."""
    parts = (
        Entry(in_escrow(parties.escrow_id), -payout.gross_stroops),
        Entry(available(parties.seller_id), payout.seller_stroops),
        Entry(available(parties.buyer_id), payout.buyer_stroops),
        Entry(PLATFORM_REVENUE, payout.platform_fee_stroops),
        Entry(PROTOCOL_FEES, payout.protocol_fee_stroops),
    )
    return Posting(*subject, tuple(part for part in parts if part.amount_stroops), transaction_hash)


def excess(reference: str, escrow_id: str, amount_stroops: int) -> Posting:
    """Somebody outside has paid into the contract: found before a payout, so that the books hold what the chain holds."""
    return _move(_Subject(reference, "excess"), WORLD_STELLAR, in_escrow(escrow_id), amount_stroops)


def compensate(operation_id: str, buyer_id: str, sources: tuple[int, int], transaction_hash: str) -> Posting:
    """The platform makes the buyer whole after a refund: ``sources`` is what of it was earned, and what the platform adds of its own."""
    earned, own = sources
    parts = (Entry(PLATFORM_REVENUE, -earned), Entry(WORLD_STELLAR, -own), Entry(available(buyer_id), earned + own))
    return Posting(operation_id, "compensation", tuple(part for part in parts if part.amount_stroops), transaction_hash)


def withdraw(withdrawal_id: str, user_id: str, amount_stroops: int) -> Posting:
    return _move(_Subject(withdrawal_id, "withdraw"), available(user_id), in_transit(withdrawal_id), amount_stroops)


def withdrawn(withdrawal_id: str, amount_stroops: int, transaction_hash: str) -> Posting:
    return _move(_Subject(withdrawal_id, "withdrawn", transaction_hash), in_transit(withdrawal_id), WORLD_STELLAR, amount_stroops)


def withdrawal_failed(withdrawal_id: str, user_id: str, amount_stroops: int) -> Posting:
    """Only after proof that the payment will never apply."""
    return _move(_Subject(withdrawal_id, "withdrawal_failed"), in_transit(withdrawal_id), available(user_id), amount_stroops)


def _move(subject: _Subject, source: str, target: str, amount_stroops: int) -> Posting:
    if amount_stroops <= 0:
        raise LedgerMismatchError(f"posting {subject.reference}/{subject.kind} moves nothing")
    entries = (Entry(source, -amount_stroops), Entry(target, amount_stroops))
    return Posting(subject.reference, subject.kind, entries, subject.transaction_hash)
