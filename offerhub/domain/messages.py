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
    """Starts ``order/<id>``; ``pending`` and ``last_error`` are what a run hands over to its successor."""

    order_id: str
    pending: list[OrderMessage] = field(default_factory=list)
    last_error: str = ""


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
    refund_hash: str = ""
    dispute_id: str = ""
    # Paid out milestone by milestone: when all of them are, the contract may still hold what strangers have paid into it.
    is_per_milestone: bool = False
    # The next thing that happens by itself, and when (engine time, unix seconds); empty and 0 when nothing does.
    deadline: str = ""
    deadline_unix: int = 0


@dataclass(frozen=True)
class PlannedStep:
    """A step ready to be carried out. ``via`` is ``horizon`` or ``trustless`` (deploys)."""

    intent_id: str
    action: str
    summary: str
    via: str


@dataclass(frozen=True)
class OperationPlan:
    """What a verb's workflow is started with; ``workflow_id`` is that workflow."""

    operation_id: str
    kind: str
    order: OrderView
    steps: list[PlannedStep] = field(default_factory=list)
    workflow_id: str = ""


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
class Acceptance:
    """A person has read ``mismatch``, how a payout differs from what was promised, and has it booked; ``note`` is who, and why."""

    mismatch: str
    note: str


@dataclass(frozen=True)
class Booking:
    operation_id: str
    accepted: Acceptance | None = None


@dataclass(frozen=True)
class BookingResult:
    """``mismatch`` is empty when the books took what the chain did; else the sentence for the operator."""

    order: OrderView
    mismatch: str = ""
    may_be_accepted: bool = False


@dataclass(frozen=True)
class OperationResult:
    """How a verb's child workflow ended; ``refusal`` is empty when it was booked."""

    order: OrderView
    outcomes: list[StepOutcome] = field(default_factory=list)
    refusal: str = ""


@dataclass(frozen=True)
class DisputeMessage:
    """Signal to a dispute's workflow: carry out this operation, or (without one) look at the dispute again."""

    dispute_id: str = ""
    operation_id: str = ""
    kind: str = ""


@dataclass(frozen=True)
class DisputeInput:
    """Starts ``dispute/<id>``; the rest is what a run hands over to its successor."""

    dispute_id: str
    pending: list[DisputeMessage] = field(default_factory=list)
    last_error: str = ""
    last_refusal: str = ""


@dataclass(frozen=True)
class DecisionSignal:
    """A decision given to the workflow instead of the API; amounts are decimal strings, judged by the same command.

    Spelled in camelCase because people type it: ``{"decision": "SPLIT", "releaseAmount": "60.00", "refundAmount": "20.00", "by": "ana"}``.
    """

    decision: str = ""
    releaseAmount: str = ""  # noqa: N815 - as people type it
    refundAmount: str = ""  # noqa: N815 - as people type it
    by: str = ""
    note: str = ""


@dataclass(frozen=True)
class DisputeDecision:
    """What the activity is given of a ``DecisionSignal``; ``key`` makes a repeated call the same decision."""

    dispute_id: str
    decision: DecisionSignal
    key: str = ""


@dataclass(frozen=True)
class DisputeView:
    """What an operator sees of a dispute; amounts are decimal strings."""

    dispute_id: str
    order_id: str
    state: str
    opened_by: str
    reason: str
    amount: str
    amount_stroops: int = 0
    milestone_ref: str = ""
    frozen_hash: str = ""
    contract_id: str = ""
    assigned_to: str = ""
    decision: str = ""
    resolved_by: str = ""
    resolution_hash: str = ""
    deadline: str = ""
    deadline_unix: int = 0


@dataclass(frozen=True)
class DecisionResult:
    """``refusal`` is empty when the decision was accepted; else the sentence for whoever gave it."""

    dispute: DisputeView
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


@dataclass(frozen=True)
class WebhookInput:
    """Starts ``webhook/<id>``."""

    endpoint_id: str


@dataclass(frozen=True)
class DeliveryReport:
    """How a webhook endpoint stands. ``ended`` says why nothing is delivered any more; ``retry_in_s`` is 0 where nothing failed.

    ``receiver`` is the URL without its path, which may be a secret.
    """

    position: int = 0
    last_answer: str = ""
    retry_in_s: float = 0
    ended: str = ""
    receiver: str = ""
