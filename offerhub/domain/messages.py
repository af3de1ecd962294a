"""What travels between API, workflows and activities: one dataclass in, one out. No secrets, ever; envelopes are fine.

Fields are only added, with defaults, so that histories of older releases replay.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

ORDERS_QUEUE = "orders"
TRUSTLESS_QUEUE = "trustless"
CUSTODY_QUEUE = "custody"
STREAMS_QUEUE = "streams"
DEPOSITS_WORKFLOW_ID = "deposits"
WALLET_STOCK_WORKFLOW_ID = "wallet-stock"
RECONCILIATION_WORKFLOW_ID = "reconciliation"


@dataclass(frozen=True)
class OrderMessage:
    """Signal to an order's workflow: carry out this operation, or (without one) look at the order again."""

    order_id: str = ""
    operation_id: str = ""
    kind: str = ""


@dataclass(frozen=True)
class OrderInput:
    """Starts ``order/<id>``; ``pending`` is what a run hands over to its successor."""

    order_id: str
    pending: list[OrderMessage] = field(default_factory=list)


@dataclass(frozen=True)
class OrderView:
    """What an operator sees of an order; amounts are decimal strings, except the search attribute's stroops."""

    order_id: str
    title: str
    state: str
    buyer_id: str
    seller_id: str
    amount: str
    amount_stroops: int
    final_status: str = ""
    escrow_id: str = ""
    escrow_state: str = ""
    contract_id: str = ""
    deploy_hash: str = ""
    fund_hash: str = ""
    release_hash: str = ""


@dataclass(frozen=True)
class PlannedStep:
    """A step ready to be carried out. ``via`` is ``horizon`` or ``trustless`` (deploys)."""

    intent_id: str
    action: str
    summary: str
    via: str


@dataclass(frozen=True)
class OperationPlan:
    """What a verb's child workflow is started with."""

    operation_id: str
    kind: str
    order: OrderView
    steps: list[PlannedStep] = field(default_factory=list)


@dataclass(frozen=True)
class Prepared:
    """An unsigned envelope that has passed the comparison, or the open attempt an earlier run left behind."""

    intent_id: str
    envelope: str = ""
    sequence: int = 0
    max_time: int = 0
    attempt: SignedAttempt | None = None


@dataclass(frozen=True)
class SignedAttempt:
    attempt_id: str
    intent_id: str
    inner_hash: str
    via: str


class StepStatus(StrEnum):
    APPLIED = "applied"
    REFUSED = "refused"
    DEAD = "dead"
    PENDING = "pending"


@dataclass(frozen=True)
class Movement:
    """USDC the chain moved, between strkeys."""

    sender: str
    recipient: str
    amount_stroops: int


@dataclass(frozen=True)
class StepOutcome:
    """How one envelope ended. ``reason`` is a sentence for people, ``code`` the contract's or network's own word."""

    status: StepStatus
    attempt_id: str = ""
    inner_hash: str = ""
    ledger: int = 0
    code: str = ""
    reason: str = ""
    movements: list[Movement] = field(default_factory=list)


@dataclass(frozen=True)
class Refusal:
    """An operation that cannot go on: what to tell the marketplace."""

    operation_id: str
    kind: str
    code: str
    message: str
    details: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class BookingResult:
    """``mismatch`` is empty when the books took what the chain did; else the sentence for the operator."""

    order: OrderView
    mismatch: str = ""


@dataclass(frozen=True)
class OperationResult:
    """How a verb's child workflow ended; ``refusal`` is empty when it was booked."""

    order: OrderView
    outcomes: list[StepOutcome] = field(default_factory=list)
    refusal: str = ""


@dataclass(frozen=True)
class WithdrawalInput:
    """Starts ``withdrawal/<id>``; ``summary`` is its line in the operator's list."""

    withdrawal_id: str
    operation_id: str
    summary: str = ""


@dataclass(frozen=True)
class WithdrawalView:
    """What an operator sees of a withdrawal."""

    withdrawal_id: str
    user_id: str
    state: str
    amount: str
    amount_stroops: int
    destination: str
    memo: str = ""


@dataclass(frozen=True)
class WithdrawalPlan:
    """``step`` is None when there is nothing left to do."""

    operation_id: str
    withdrawal: WithdrawalView
    step: PlannedStep | None = None


@dataclass(frozen=True)
class WithdrawalBooking:
    """``mismatch`` is empty when the books took what the chain did; else the sentence for the operator."""

    withdrawal: WithdrawalView
    mismatch: str = ""


@dataclass(frozen=True)
class PlatformAccount:
    """One of the platform's own accounts; ``kind`` is SPONSOR, FEE, PLATFORM or SIGNER."""

    kind: str
    public_key: str
    ready: bool


@dataclass(frozen=True)
class WalletBatch:
    """Wallets to create on the chain in one transaction of the sponsor; ``step`` is None when none is due."""

    ready: int
    waiting_users: int
    public_keys: list[str] = field(default_factory=list)
    step: PlannedStep | None = None


@dataclass(frozen=True)
class ReconciliationInput:
    """Starts a reconciliation; ``run_id`` is empty when the schedule starts it. The rest is what a run hands over to its successor."""

    run_id: str = ""
    part: str = ""
    after: str = ""


@dataclass(frozen=True)
class ReconciliationPage:
    """One page of a part of a run: what comes after ``after``."""

    run_id: str
    part: str
    after: str = ""


@dataclass(frozen=True)
class ReconciliationSummary:
    run_id: str
    findings: int
    figures: dict[str, dict[str, int]] = field(default_factory=dict)
