"""What a reconciliation looks at and what it may find: books on one side, the chain on the other, never corrected silently."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Part(StrEnum):
    """The parts of a run, in the order in which they are visited."""

    STREAM = "stream"
    BOOKS = "books"
    WALLETS = "wallets"
    ESCROWS = "escrows"
    ATTEMPTS = "attempts"
    PLATFORM = "platform"


class FindingKind(StrEnum):
    STREAM_HALTED = "STREAM_HALTED"
    CACHED_BALANCE_DRIFT = "CACHED_BALANCE_DRIFT"
    MISSED_DEPOSIT = "MISSED_DEPOSIT"
    WALLET_DRIFT = "WALLET_DRIFT"
    WALLET_MISSING = "WALLET_MISSING"
    WALLET_FROZEN = "WALLET_FROZEN"
    FOREIGN_XLM = "FOREIGN_XLM"
    CLAIMABLE_BALANCE = "CLAIMABLE_BALANCE"
    ESCROW_DRIFT = "ESCROW_DRIFT"
    STUCK_ATTEMPT = "STUCK_ATTEMPT"
    PLATFORM_DRIFT = "PLATFORM_DRIFT"
    PLATFORM_ACCOUNT_LOW = "PLATFORM_ACCOUNT_LOW"


# Worth knowing, but nothing is wrong with the books; the other kinds are told as `reconciliation.drift_detected`.
REMARKS = frozenset({FindingKind.STREAM_HALTED, FindingKind.FOREIGN_XLM, FindingKind.CLAIMABLE_BALANCE, FindingKind.PLATFORM_ACCOUNT_LOW})


@dataclass(frozen=True)
class Finding:
    """One difference, with the sentence that explains it. Amounts in stroops; None where the kind has none."""

    kind: FindingKind
    resource_type: str
    resource_id: str
    explanation: str
    expected_stroops: int | None = None
    found_stroops: int | None = None
    user_id: str | None = None


@dataclass(frozen=True)
class Figures:
    """``in_motion``: changed while it was looked at or has work in flight, so neither right nor wrong can be said of it."""

    checked: int = 0
    in_motion: int = 0
    not_checked: int = 0
