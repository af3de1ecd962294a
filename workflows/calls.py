"""Every activity a workflow may call: one typed function each, with its time-out, its retries and its line in the operator's UI.

Our own rows change in local activities; each effect on the outside is one regular activity on the queue of the role that may cause it.
Faults of networks and providers are retried for ever; what must not be retried says so itself (``activities/failures.py``).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TypeVar, cast

from temporalio import workflow
from temporalio.common import RetryPolicy

from offerhub.domain.messages import (
    CUSTODY_QUEUE,
    ORDERS_QUEUE,
    STREAMS_QUEUE,
    TRUSTLESS_QUEUE,
    Booking,
    BookingResult,
    DecisionResult,
    DeliveryReport,
    DisputeDecision,
    DisputeView,
    OperationPlan,
    OrderView,
    PlannedStep,
    PlatformAccount,
    Prepared,
    ReconciliationPage,
    ReconciliationSummary,
    Refusal,
    SignedAttempt,
    StepOutcome,
    WalletBatch,
    WebhookInput,
    WithdrawalBooking,
    WithdrawalPlan,
    WithdrawalView,
)

Result = TypeVar("Result")

# The first retry comes soon: most faults are a lost connection. The last ones are for outages that somebody is looking at.
_FOR_EVER = RetryPolicy(initial_interval=timedelta(milliseconds=300), backoff_coefficient=2, maximum_interval=timedelta(seconds=15))
_A_FEW_TIMES = RetryPolicy(initial_interval=timedelta(seconds=2), backoff_coefficient=2, maximum_attempts=8)
# A database that is away for longer than this becomes a timer, so that the workflow can still be signalled.
_LOCAL_PATIENCE = timedelta(seconds=5)
_DATABASE_S = 10
# Longer than the slowest answer of the provider or of Horizon; the heartbeat tells of a dead worker much earlier.
_PROVIDER_S = 60
_SEND_S = 90
_SIGNING_S = 10
_HEARTBEAT = timedelta(seconds=8)
# A signed envelope is only good for minutes: after this, asking the chain what became of it is the better use of time.
_SENDING_LIMIT = timedelta(minutes=2)
_PAGE_LIMIT = timedelta(minutes=10)


async def look_at_order(order_id: str) -> OrderView:
    return await _local("look_at_order", order_id, OrderView)


async def begin_operation(operation_id: str) -> OperationPlan:
    return await _local("begin_operation", operation_id, OperationPlan)


async def book_operation(wanted: Booking) -> BookingResult:
    return await _local("book_operation", wanted, BookingResult)


async def refuse_operation(refusal: Refusal) -> OrderView | None:
    """None when an envelope of the operation may still apply, or has: then nothing is refused."""
    return await _local("refuse_operation", refusal, cast("type[OrderView | None]", OrderView | None))


async def pass_order_deadline(order_id: str) -> OrderView:
    """Does what is due, if anything is."""
    return await _local("pass_order_deadline", order_id, OrderView)


async def look_at_dispute(dispute_id: str) -> DisputeView:
    return await _local("look_at_dispute", dispute_id, DisputeView)


async def pass_dispute_deadline(dispute_id: str) -> DisputeView:
    """Does what is due, if anything is."""
    return await _local("pass_dispute_deadline", dispute_id, DisputeView)


async def decide_dispute(decision: DisputeDecision) -> DecisionResult:
    return await _local("decide_dispute", decision, DecisionResult)


async def begin_withdrawal(operation_id: str) -> WithdrawalPlan:
    return await _local("begin_withdrawal", operation_id, WithdrawalPlan)


async def book_withdrawal(operation_id: str) -> WithdrawalBooking:
    return await _local("book_withdrawal", operation_id, WithdrawalBooking)


async def refuse_withdrawal(refusal: Refusal) -> WithdrawalView:
    return await _local("refuse_withdrawal", refusal, WithdrawalView)


async def prepare_step(step: PlannedStep) -> Prepared:
    return await _remote("prepare_step", step, Prepared, TRUSTLESS_QUEUE, step.summary)


async def read_contract_back(step: PlannedStep) -> None:
    await _remote("read_contract_back", step, type(None), ORDERS_QUEUE, f"read the contract back before: {step.summary}")


async def observe_excess(operation_id: str) -> int:
    """What strangers have paid into the contract, in stroops: it is paid out with the rest."""
    return await _remote("observe_excess", operation_id, int, ORDERS_QUEUE, "what the contract holds before it is resolved")


async def withdraw_remaining(order_id: str) -> None:
    """Accepts an operation of its own if anything is left."""
    await _remote("withdraw_remaining", order_id, type(None), ORDERS_QUEUE, "what the contract holds after the last milestone")


async def prepare_own_step(step: PlannedStep) -> Prepared:
    return await _remote("prepare_own_step", step, Prepared, ORDERS_QUEUE, step.summary)


async def sign_step(prepared: Prepared, summary: str) -> SignedAttempt:
    result: SignedAttempt = await workflow.execute_activity(
        "sign_step",
        prepared,
        result_type=SignedAttempt,
        task_queue=CUSTODY_QUEUE,
        start_to_close_timeout=timedelta(seconds=_SIGNING_S),
        retry_policy=_FOR_EVER,
        summary=summary,
    )
    return result


async def submit_attempt(attempt: SignedAttempt, summary: str) -> StepOutcome:
    return await _remote("submit_attempt", attempt, StepOutcome, ORDERS_QUEUE, summary)


async def send_deploy(attempt: SignedAttempt, summary: str) -> StepOutcome:
    result: StepOutcome = await workflow.execute_activity(
        "send_deploy",
        attempt,
        result_type=StepOutcome,
        task_queue=TRUSTLESS_QUEUE,
        start_to_close_timeout=timedelta(seconds=_SEND_S),
        schedule_to_close_timeout=_SENDING_LIMIT,
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOR_EVER,
        summary=summary,
    )
    return result


async def settle_attempt(attempt: SignedAttempt, summary: str) -> StepOutcome:
    return await _remote("settle_attempt", attempt, StepOutcome, ORDERS_QUEUE, summary)


async def read_movements_again(operation_id: str) -> None:
    await _remote("read_movements_again", operation_id, type(None), ORDERS_QUEUE, "what the chain moved, read again")


async def tell_index(transaction_hash: str, summary: str) -> bool:
    """Best effort: Trustless Work's index is for people to look at."""
    result: bool = await workflow.execute_activity(
        "tell_index",
        transaction_hash,
        result_type=bool,
        task_queue=TRUSTLESS_QUEUE,
        start_to_close_timeout=timedelta(seconds=_PROVIDER_S),
        retry_policy=_A_FEW_TIMES,
        summary=summary,
    )
    return result


async def open_payments_cursor() -> str:
    """Where reading the chain begins: fixed before the first wallet exists, so that no payment can come before it."""
    return await _remote("open_payments_cursor", None, str, STREAMS_QUEUE, "the chain's position to read from")


async def follow_payments() -> str:
    result: str = await workflow.execute_activity(
        "follow_payments",
        result_type=str,
        task_queue=STREAMS_QUEUE,
        start_to_close_timeout=timedelta(hours=26),
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOR_EVER,
        summary="every payment of the network, credited as it closes",
    )
    return result


async def accept_payments_gap(note: str) -> str:
    return await _remote("accept_payments_gap", note, str, STREAMS_QUEUE, "go on after a gap in the history")


async def deliver_webhooks(started: WebhookInput) -> DeliveryReport:
    """Returns when a delivery failed or the endpoint is over; waiting for events costs no history."""
    result: DeliveryReport = await workflow.execute_activity(
        "deliver_webhooks",
        started,
        result_type=DeliveryReport,
        task_queue=STREAMS_QUEUE,
        start_to_close_timeout=timedelta(hours=26),
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOR_EVER,
        summary="events in order, as they happen",
    )
    return result


async def begin_reconciliation(run_id: str) -> None:
    await _remote("begin_reconciliation", run_id, type(None), STREAMS_QUEUE, f"begin {run_id}")


async def reconcile_page(page: ReconciliationPage) -> str:
    """A page has a hundred questions to the network and looks again at whatever moves."""
    result: str = await workflow.execute_activity(
        "reconcile_page",
        page,
        result_type=str,
        task_queue=STREAMS_QUEUE,
        start_to_close_timeout=_PAGE_LIMIT,
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOR_EVER,
        summary=f"{page.part} after {page.after}" if page.after else page.part,
    )
    return result


async def finish_reconciliation(run_id: str) -> ReconciliationSummary:
    return await _remote("finish_reconciliation", run_id, ReconciliationSummary, STREAMS_QUEUE, f"finish {run_id}")


async def make_platform_accounts() -> list[PlatformAccount]:
    return await _remote("make_platform_accounts", None, list[PlatformAccount], CUSTODY_QUEUE, "keys of the platform's own accounts")


async def fund_account(public_key: str, kind: str) -> bool:
    """False where nobody but the operator can fund it."""
    return await _remote("fund_account", public_key, bool, ORDERS_QUEUE, f"XLM for the {kind} account")


async def book_platform_account(public_key: str) -> None:
    await _local("book_platform_account", public_key, type(None))


async def make_wallets() -> int:
    return await _remote("make_wallets", None, int, CUSTODY_QUEUE, "keys for the wallet stock")


async def begin_activation() -> WalletBatch:
    return await _local("begin_activation", None, WalletBatch)


async def confirm_accounts(public_keys: list[str], summary: str) -> None:
    await _remote("confirm_accounts", public_keys, type(None), ORDERS_QUEUE, summary)


async def book_activation(public_keys: list[str]) -> WalletBatch:
    return await _local("book_activation", public_keys, WalletBatch)


async def watch_stock() -> WalletBatch:
    """Returns when wallets are needed; watching costs no history."""
    result: WalletBatch = await workflow.execute_activity(
        "watch_stock",
        result_type=WalletBatch,
        task_queue=ORDERS_QUEUE,
        start_to_close_timeout=timedelta(hours=26),
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOR_EVER,
        summary="watch the wallet stock",
    )
    return result


async def _local(name: str, argument: object, result_type: type[Result]) -> Result:
    result: Result = await workflow.execute_local_activity(
        name,
        args=[] if argument is None else [argument],
        result_type=result_type,
        start_to_close_timeout=timedelta(seconds=_DATABASE_S),
        retry_policy=_FOR_EVER,
        local_retry_threshold=_LOCAL_PATIENCE,
    )
    return result


async def _remote(name: str, argument: object, result_type: type[Result], task_queue: str, summary: str) -> Result:
    result: Result = await workflow.execute_activity(
        name,
        args=[] if argument is None else [argument],
        result_type=result_type,
        task_queue=task_queue,
        start_to_close_timeout=timedelta(seconds=_PROVIDER_S),
        heartbeat_timeout=_HEARTBEAT,
        retry_policy=_FOR_EVER,
        summary=summary,
    )
    return result
