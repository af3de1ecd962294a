"""The outbox: tells each order's workflow what the database has accepted. Runs beside the workers of the ``orders`` role."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.webhook_workflows import look_at_endpoint
from offerhub.commands.disputes import look_at_dispute
from offerhub.commands.operations import look_at_order
from offerhub.commands.order_facts import DISPUTE_WORKFLOW
from offerhub.commands.reconciliation import RECONCILIATION_WORKFLOW
from offerhub.commands.webhooks import WEBHOOK_WORKFLOW
from offerhub.commands.withdrawals import WITHDRAWAL_WORKFLOW
from offerhub.domain.context import Context
from offerhub.domain.messages import (
    ORDERS_QUEUE,
    DisputeInput,
    DisputeMessage,
    OrderInput,
    OrderMessage,
    OrderView,
    ReconciliationInput,
    WebhookInput,
    WithdrawalInput,
)
from offerhub.domain.states import DisputeState, OrderState
from offerhub.storage import operations
from offerhub.storage.operations import PendingMessage
from offerhub.storage.unit_of_work import BACKGROUND_PRIORITY, MESSAGES_WRITTEN, Database
from offerhub.stream.nudges import Nudges
from offerhub.stream.stopping import told_to_stop
from offerhub.telemetry.logs import get_logger
from workflows.details import dispute_summary, order_summary

URGENT = (0, BACKGROUND_PRIORITY - 1)
BACKGROUND = (BACKGROUND_PRIORITY, BACKGROUND_PRIORITY)
BATCH = 50
SWEEP_S = 1.0
SLOWEST_RETRY_S = 5.0
_ENDED_DISPUTE = (DisputeState.RESOLVED, DisputeState.REFUSED)
_RPC_TIMEOUT = timedelta(seconds=5)
_KNOWN_SUMMARIES = 5_000
_DISPATCHER = Context("system", "outbox")
_log = get_logger(__name__)


class Dispatcher:
    """Several may run: each takes messages that no other holds. A message delivered twice does no harm.

    Operations go out at once. Word that an order merely changed is for operators to look at, so it goes at a bounded rate.
    """

    def __init__(self, database: Database, client: Client, nudges: Nudges, background_per_second: int) -> None:
        self._database = database
        self._client = client
        self._nudges = nudges
        self._background_per_second = background_per_second
        self._allowance = 1.0
        self._counted_at = time.monotonic()
        self._summaries: OrderedDict[str, str] = OrderedDict()

    async def run(self) -> None:
        """Until canceled. While Temporal or PostgreSQL is away nothing is lost: the rows wait."""
        pause_s = SWEEP_S
        while not told_to_stop():
            try:
                delivered, failed = await self.dispatch_once()
            except Exception as error:  # noqa: BLE001 - whatever it was, the next pass starts from the committed rows
                _log.warning("outbox.interrupted", error=repr(error)[:300])
                delivered, failed = 0, 1
            if failed:
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, SLOWEST_RETRY_S)
                continue
            pause_s = SWEEP_S
            if delivered < BATCH:
                await self._nudges.wait(MESSAGES_WRITTEN, SWEEP_S)

    async def dispatch_once(self) -> tuple[int, int]:
        """One pass over both kinds; returns how many were delivered and how many were not."""
        urgent = await self._dispatch(URGENT, BATCH)
        background = await self._dispatch(BACKGROUND, self._background_allowed())
        self._allowance -= background[0]
        return urgent[0] + background[0], urgent[1] + background[1]

    def _background_allowed(self) -> int:
        now = time.monotonic()
        earned = (now - self._counted_at) * self._background_per_second
        self._counted_at = now
        self._allowance = min(self._allowance + earned, float(self._background_per_second))
        return min(int(self._allowance), BATCH)

    async def _dispatch(self, priorities: tuple[int, int], limit: int) -> tuple[int, int]:
        if limit <= 0:
            return 0, 0
        async with self._database.transaction(_DISPATCHER) as transaction:
            messages = await operations.claim_messages(transaction, priorities, limit)
        if not messages:
            return 0, 0
        outcomes = await asyncio.gather(*(self._deliver(message) for message in messages), return_exceptions=True)
        delivered: list[int] = []
        failed: list[int] = []
        for message, outcome in zip(messages, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                _log.warning("outbox.not_delivered", workflow_id=message.workflow_id, error=repr(outcome)[:300])
                failed.append(message.id)
            else:
                delivered.append(message.id)
        async with self._database.transaction(_DISPATCHER) as transaction:
            operations.mark_dispatched(transaction, delivered)
            if failed:
                operations.give_back(transaction, failed)
        return len(delivered), len(failed)

    async def _deliver(self, message: PendingMessage) -> None:
        if message.workflow == WITHDRAWAL_WORKFLOW:
            await self._start_withdrawal(message)
            return
        if message.workflow == RECONCILIATION_WORKFLOW:
            await self._start_reconciliation(message)
            return
        if message.workflow == WEBHOOK_WORKFLOW:
            await look_at_endpoint(self._client, WebhookInput(**message.payload))
            return
        if message.workflow == DISPUTE_WORKFLOW:
            await self._tell_dispute(message)
            return
        await self._tell_order(message)

    async def _tell_order(self, message: PendingMessage) -> None:
        payload = OrderMessage(**message.payload)
        summary = self._summaries.get(payload.order_id)
        if summary is None or message.priority == BACKGROUND_PRIORITY:
            async with self._database.reading() as reader:
                order = await look_at_order(reader, payload.order_id)
            if message.priority == BACKGROUND_PRIORITY and order.state == OrderState.CLOSED:
                await self._signal_if_running(message, payload)
                return
            summary = self._remember(order)
        await self._start_or_signal(message, OrderInput(payload.order_id), payload, summary)

    async def _tell_dispute(self, message: PendingMessage) -> None:
        payload = DisputeMessage(**message.payload)
        async with self._database.reading() as reader:
            dispute = await look_at_dispute(reader, payload.dispute_id)
        if message.priority == BACKGROUND_PRIORITY and dispute.state in _ENDED_DISPUTE:
            await self._signal_if_running(message, payload)
            return
        await self._start_or_signal(message, DisputeInput(payload.dispute_id), payload, dispute_summary(dispute))

    async def _start_or_signal(
        self, message: PendingMessage, start: OrderInput | DisputeInput, payload: OrderMessage | DisputeMessage, summary: str
    ) -> None:
        await self._client.start_workflow(
            message.workflow,
            start,
            id=message.workflow_id,
            task_queue=ORDERS_QUEUE,
            start_signal=message.signal,
            start_signal_args=[payload],
            static_summary=summary,
            rpc_timeout=_RPC_TIMEOUT,
        )

    async def _start_withdrawal(self, message: PendingMessage) -> None:
        """Started twice it is still one: while it runs, and afterwards because the books say that it is finished."""
        start = WithdrawalInput(**message.payload)
        await self._client.start_workflow(
            message.workflow,
            start,
            id=message.workflow_id,
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=start.summary,
            rpc_timeout=_RPC_TIMEOUT,
        )

    async def _start_reconciliation(self, message: PendingMessage) -> None:
        start = ReconciliationInput(**message.payload)
        await self._client.start_workflow(
            message.workflow,
            start,
            id=message.workflow_id,
            task_queue=ORDERS_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            static_summary=f"Books and chain compared, on demand · {start.run_id}",
            rpc_timeout=_RPC_TIMEOUT,
        )

    async def _signal_if_running(self, message: PendingMessage, payload: OrderMessage | DisputeMessage) -> None:
        """The workflow of a closed order or an ended dispute is told, so that it ends, but not started again."""
        try:
            await self._client.get_workflow_handle(message.workflow_id).signal(message.signal, payload, rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise

    def _remember(self, order: OrderView) -> str:
        """Amount and parties never change, so the messages of an operation need not read them again."""
        summary = self._summaries[order.order_id] = order_summary(order)
        if len(self._summaries) > _KNOWN_SUMMARIES:
            self._summaries.popitem(last=False)
        return summary
