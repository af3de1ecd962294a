"""One workflow per order: it waits for accepted operations and deadlines, and carries each operation out in a child workflow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributePair, TypedSearchAttributes
from temporalio.exceptions import ActivityError, ApplicationError, ChildWorkflowError, WorkflowAlreadyStartedError

from offerhub.domain.messages import OperationPlan, OperationResult, OrderInput, OrderMessage, OrderView, StepOutcome
from offerhub.domain.plans import OperationKind
from workflows import attributes, calls
from workflows.attributes import Attributes
from workflows.compensation import CompensationWorkflow
from workflows.deadline import Deadline
from workflows.details import order_page, waiting_for
from workflows.escrow_funding import EscrowFundingWorkflow
from workflows.inbox import Inbox
from workflows.index import Index
from workflows.milestone import MilestoneWorkflow
from workflows.refund import RefundWorkflow
from workflows.release import ReleaseWorkflow
from workflows.remainder import RemainderWorkflow

CLOSED = "CLOSED"
_CHILD_STILL_RUNS_S = 5
_LONGEST_PAUSE_S = 300
_K = OperationKind
# Disputes have a workflow of their own.
_CHILDREN: dict[str, Callable[[Any, OperationPlan], Awaitable[OperationResult]]] = {
    **dict.fromkeys((_K.ESCROW_CREATION, _K.ESCROW_FUNDING, _K.CHECKOUT), EscrowFundingWorkflow.run),
    **dict.fromkeys((_K.MILESTONE_COMPLETION, _K.MILESTONE_RELEASE), MilestoneWorkflow.run),
    _K.RELEASE: ReleaseWorkflow.run,
    _K.REFUND: RefundWorkflow.run,
    _K.COMPENSATION: CompensationWorkflow.run,
    _K.REMAINDER: RemainderWorkflow.run,
}


@workflow.defn(name="Order")
class OrderWorkflow:
    """``order/<id>``. It keeps no authoritative state: the database decides, this waits and shows.

    It ends when the order is closed. What is accepted for a closed order (a compensation, a remainder) begins another run.
    """

    def __init__(self) -> None:
        self._inbox = Inbox()
        self._deadline = Deadline()
        self._index = Index()
        self._attributes = Attributes()
        self._view: OrderView | None = None
        self._plan: OperationPlan | None = None
        self._applied: list[StepOutcome] = []
        self._last_error = ""
        self._may_hold_more = True

    @workflow.run
    async def run(self, order: OrderInput) -> str:
        """Look at the order, wait for a message or a deadline, do what it calls for; until it is closed and nothing is left to do."""
        self._inbox.put_first([message.operation_id for message in order.pending])
        self._last_error = order.last_error
        view = self._see(await calls.look_at_order(order.order_id))
        while True:
            if not self._inbox and view.state == CLOSED:
                await self._index.told(self._has_news)
                # What was accepted for the closed order meanwhile is this run's, as there cannot be another one yet.
                if not self._inbox:
                    return view.final_status
            await self._deadline.wait(self._has_news, view.deadline_unix, view.deadline)
            operations = self._inbox.take()
            if not operations:
                view = self._see(await self._looked_at(view))
            for operation_id in operations:
                view = await self._carry_out(operation_id, view)
            if not self._inbox and _is_paid_out_in_parts(view) and self._may_hold_more:
                self._may_hold_more = False
                await calls.withdraw_remaining(view.order_id)
            if workflow.info().is_continue_as_new_suggested():
                await self._index.told(self._has_news)
                pending = [OrderMessage(view.order_id, operation_id) for operation_id in self._inbox.left()]
                workflow.continue_as_new(OrderInput(order.order_id, pending, self._last_error))

    @workflow.signal(description="Sent by the outbox: carry out an accepted operation, or look at the order again.")
    def message(self, *sent: object) -> None:
        self._inbox.put(sent)

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

    def _has_news(self) -> bool:
        return bool(self._inbox)

    async def _looked_at(self, view: OrderView) -> OrderView:
        """While something happens by itself at some time, looking at the order does it if it is due."""
        if not view.deadline_unix:
            return await calls.look_at_order(view.order_id)
        try:
            return await calls.pass_order_deadline(view.order_id)
        except (ActivityError, ApplicationError) as error:
            self._last_error = f"{view.deadline}: {error.cause or error}"
            return await calls.look_at_order(view.order_id)

    async def _carry_out(self, operation_id: str, view: OrderView) -> OrderView:
        """Repeated and late messages are harmless: an operation that is finished has no steps."""
        try:
            plan = await calls.begin_operation(operation_id)
        except (ActivityError, ApplicationError) as error:
            # A local activity's failure comes bare.
            return self._ignored(view, str(error.cause or error))
        if plan.order.order_id != view.order_id:
            return self._ignored(view, f"{operation_id} belongs to {plan.order.order_id}")
        if plan.steps and plan.kind not in _CHILDREN:
            return self._ignored(view, f"{operation_id} is carried out by {plan.workflow_id}")
        self._plan = plan if plan.steps else None
        view = self._see(plan.order, plan)
        if not plan.steps:
            return view
        result = await self._in_child(plan)
        self._plan = None
        self._may_hold_more = plan.kind != OperationKind.REMAINDER
        self._applied += result.outcomes
        self._last_error = f"{plan.kind}: {result.refusal}" if result.refusal else ""
        self._index.tell(plan, result)
        return self._see(result.order, plan)

    async def _in_child(self, plan: OperationPlan) -> OperationResult:
        child_id, pause_s = plan.workflow_id, _CHILD_STILL_RUNS_S
        while plan.steps:
            try:
                return await workflow.execute_child_workflow(
                    _CHILDREN[plan.kind],
                    plan,
                    id=child_id,
                    parent_close_policy=workflow.ParentClosePolicy.ABANDON,
                    static_summary=f"{plan.kind.replace('_', ' ')} · {plan.operation_id} · {plan.steps[-1].summary}",
                    search_attributes=_of_child(plan),
                )
            except WorkflowAlreadyStartedError:
                # Left behind by an earlier run of this workflow that somebody ended: it finishes its work by itself.
                await workflow.sleep(pause_s, summary=f"{child_id} is still running")
            except ChildWorkflowError as error:
                # Only a person ends a child early. What it has not finished is begun again; what it has done is found in the books.
                self._last_error = f"{child_id} was ended: {error.cause or error}"
                self._show()
                await workflow.sleep(pause_s, summary=f"{child_id} was ended, it starts again")
            # One that waits for a person may do so for days, and this history must not fill meanwhile.
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            plan = await calls.begin_operation(plan.operation_id)
        return OperationResult(plan.order)

    def _ignored(self, view: OrderView, why: str) -> OrderView:
        self._last_error = f"message ignored: {why}"
        self._show()
        return view

    def _see(self, view: OrderView, plan: OperationPlan | None = None) -> OrderView:
        self._view = view
        self._show()
        wanted: attributes.Wanted = [
            (attributes.ORDER_ID, view.order_id),
            (attributes.BUYER_ID, view.buyer_id),
            (attributes.SELLER_ID, view.seller_id),
            (attributes.ORDER_STATUS, view.state),
            (attributes.ESCROW_CONTRACT, view.contract_id),
            (attributes.AMOUNT_STROOPS, view.amount_stroops),
            (attributes.DEADLINE, attributes.moment(view.deadline_unix)),
        ]
        if plan is not None:
            wanted += [(attributes.OPERATION_ID, plan.operation_id), (attributes.OPERATION_KIND, plan.kind)]
        self._attributes.show(wanted)
        return view

    def _show(self) -> None:
        if self._view is not None:
            doing = f"{self._plan.kind.replace('_', ' ')} ({self._plan.operation_id})" if self._plan else ""
            workflow.set_current_details(order_page(self._view, doing, self._last_error))


def _is_paid_out_in_parts(view: OrderView) -> bool:
    return view.state == CLOSED and view.is_per_milestone and bool(view.fund_hash)


def _of_child(plan: OperationPlan) -> TypedSearchAttributes:
    return TypedSearchAttributes(
        [
            SearchAttributePair(attributes.ORDER_ID, plan.order.order_id),
            SearchAttributePair(attributes.OPERATION_ID, plan.operation_id),
            SearchAttributePair(attributes.OPERATION_KIND, plan.kind),
        ]
    )
