"""One workflow per order: it waits for accepted operations and carries each out in a child workflow, until the order is closed."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from offerhub.domain import ids
from offerhub.domain.messages import OperationPlan, OperationResult, OrderInput, OrderMessage, OrderView, StepOutcome
from offerhub.domain.plans import OperationKind
from workflows import calls
from workflows.details import order_page, waiting_for
from workflows.escrow_funding import EscrowFundingWorkflow
from workflows.release import ReleaseWorkflow

CLOSED = "CLOSED"
_ORDER_ID = SearchAttributeKey.for_keyword("OrderId")
_BUYER_ID = SearchAttributeKey.for_keyword("BuyerId")
_SELLER_ID = SearchAttributeKey.for_keyword("SellerId")
_ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
_OPERATION_ID = SearchAttributeKey.for_keyword("OperationId")
_ESCROW_CONTRACT = SearchAttributeKey.for_keyword("EscrowContract")
_AMOUNT_STROOPS = SearchAttributeKey.for_int("AmountStroops")
_CHILD_STILL_RUNS_S = 5


@workflow.defn(name="Order")
class OrderWorkflow:
    """``order/<id>``. It keeps no authoritative state: the database decides, this waits and shows."""

    def __init__(self) -> None:
        self._inbox: deque[OrderMessage] = deque()
        self._view: OrderView | None = None
        self._plan: OperationPlan | None = None
        self._applied: list[StepOutcome] = []
        self._last_error = ""
        self._indexing: set[asyncio.Task[None]] = set()
        self._attributes: dict[str, str] = {}

    @workflow.run
    async def run(self, order: OrderInput) -> str:
        """Look at the order, wait for a message, carry it out; end when the order is closed and nothing is left to do."""
        self._inbox.extendleft(reversed(order.pending))
        self._see(await calls.look_at_order(order.order_id))
        while self._inbox or not self._is_closed:
            await workflow.wait_condition(lambda: bool(self._inbox))
            operations = self._take_messages()
            if not operations:
                self._see(await calls.look_at_order(order.order_id))
            for operation_id in operations:
                await self._carry_out(operation_id)
            if workflow.info().is_continue_as_new_suggested():
                await self._index_told()
                workflow.continue_as_new(OrderInput(order.order_id, list(self._inbox)))
        await self._index_told()
        return self._view.final_status if self._view else ""

    @workflow.signal(description="Sent by the outbox: carry out an accepted operation, or look at the order again.")
    def message(self, message: OrderMessage) -> None:
        self._inbox.append(message)

    @workflow.query(description="The order as last read, and what it waits for.")
    def state(self) -> dict[str, Any]:
        if self._view is None:
            return {}
        return {**asdict(self._view), "waits_for": waiting_for(self._view), "last_error": self._last_error}

    @workflow.query(description="The operation being carried out, with its steps.")
    def plan(self) -> dict[str, Any]:
        return asdict(self._plan) if self._plan else {}

    @workflow.query(description="The transactions applied for this order in this run, with ledger and movements of money.")
    def attempts(self) -> list[dict[str, Any]]:
        return [asdict(outcome) for outcome in self._applied]

    @property
    def _is_closed(self) -> bool:
        return self._view is not None and self._view.state == CLOSED

    def _take_messages(self) -> list[str]:
        """The operations to carry out, each once. Word that the order has changed is answered by looking, once for all of it."""
        operations = list(dict.fromkeys(message.operation_id for message in self._inbox if message.operation_id))
        self._inbox.clear()
        return operations

    async def _carry_out(self, operation_id: str) -> None:
        """Repeated and late messages are harmless: an operation that is finished has no steps."""
        try:
            plan = await calls.begin_operation(operation_id)
        except (ActivityError, ApplicationError) as error:
            # A local activity's failure comes bare.
            self._last_error = f"message ignored: {error.cause or error}"
            self._show()
            return
        if self._view is None or plan.order.order_id != self._view.order_id:
            self._last_error = f"message ignored: {operation_id} belongs to {plan.order.order_id}"
            self._show()
            return
        self._plan = plan if plan.steps else None
        self._see(plan.order, operation_id)
        if not plan.steps:
            return
        result = await self._in_child(plan)
        self._plan = None
        self._applied += result.outcomes
        self._last_error = f"{plan.kind}: {result.refusal}" if result.refusal else ""
        self._see(result.order, operation_id)
        if plan.kind != OperationKind.ESCROW_CREATION and result.outcomes:
            self._indexing.add(asyncio.create_task(self._tell_index(result.outcomes[-1].inner_hash, plan.kind)))

    async def _in_child(self, plan: OperationPlan) -> OperationResult:
        kind = OperationKind(plan.kind)
        is_release = kind is OperationKind.RELEASE
        child = ReleaseWorkflow.run if is_release else EscrowFundingWorkflow.run
        child_id = ids.release_workflow_id(plan.order.order_id) if is_release else ids.escrow_workflow_id(plan.order.escrow_id)
        summary = f"{kind.value.replace('_', ' ')} · {plan.operation_id} · {plan.order.amount} USDC"
        while True:
            try:
                return await workflow.execute_child_workflow(
                    child,
                    plan,
                    id=child_id,
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    static_summary=summary,
                )
            except WorkflowAlreadyStartedError:
                # Left behind by an earlier run of this workflow that somebody ended: it finishes its work by itself.
                await workflow.sleep(_CHILD_STILL_RUNS_S, summary=f"{child_id} is still running")
            except ChildWorkflowError as error:
                # Only a person ends a child early. What it has not finished is begun again; what it has done is found in the books.
                self._last_error = f"{child_id} was ended: {error.cause or error}"
                self._show()
                await workflow.sleep(_CHILD_STILL_RUNS_S, summary=f"{child_id} was ended, it starts again")

    async def _tell_index(self, transaction_hash: str, kind: str) -> None:
        try:
            await calls.tell_index(transaction_hash, f"tell Trustless Work's index of the {kind.replace('_', ' ')}")
        except ActivityError:
            workflow.logger.warning("Trustless Work's index was not told of %s", transaction_hash)

    async def _index_told(self) -> None:
        if self._indexing:
            await asyncio.gather(*self._indexing)
            self._indexing.clear()

    def _see(self, view: OrderView, operation_id: str = "") -> None:
        self._view = view
        self._show()
        wanted = [
            (_ORDER_ID, view.order_id),
            (_BUYER_ID, view.buyer_id),
            (_SELLER_ID, view.seller_id),
            (_ORDER_STATUS, view.state),
            (_OPERATION_ID, operation_id),
            (_ESCROW_CONTRACT, view.contract_id),
        ]
        changed = [key.value_set(value) for key, value in wanted if value and self._attributes.get(key.name) != value]
        if changed:
            amount = [] if self._attributes else [_AMOUNT_STROOPS.value_set(view.amount_stroops)]
            self._attributes.update({key.name: value for key, value in wanted if value})
            workflow.upsert_search_attributes([*changed, *amount])

    def _show(self) -> None:
        if self._view is not None:
            doing = f"{self._plan.kind.replace('_', ' ')} ({self._plan.operation_id})" if self._plan else ""
            workflow.set_current_details(order_page(self._view, doing, self._last_error))
