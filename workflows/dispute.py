"""One workflow per dispute: it freezes the contract, waits for a decision and has the contract pay out as decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError

from offerhub.domain.messages import DisputeDecision, DisputeInput, DisputeMessage, DisputeView, OperationPlan
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import DisputeState
from workflows import attributes, calls
from workflows.attributes import Attributes
from workflows.deadline import Deadline
from workflows.decision import MalformedDecision, read_decision
from workflows.details import dispute_page, dispute_waits_for
from workflows.inbox import Inbox
from workflows.index import Index
from workflows.operation import OperationWorkflow

_OVER = frozenset({DisputeState.RESOLVED, DisputeState.REFUSED})
_ITS_KINDS = frozenset({OperationKind.DISPUTE_OPENING, OperationKind.DISPUTE_RESOLUTION})


@workflow.defn(name="Dispute")
class DisputeWorkflow(OperationWorkflow):
    """``dispute/<id>``, started by the outbox. The database decides, this waits and shows.

    Who decides by REST and who signals ``decide`` reach the same command; of two decisions one wins, the other is shown as refused.
    """

    def __init__(self) -> None:
        super().__init__()
        self._inbox = Inbox()
        self._decisions: deque[Sequence[object]] = deque()
        self._deadline = Deadline()
        self._index = Index()
        self._attributes = Attributes()
        self._view: DisputeView | None = None
        self._plan: OperationPlan | None = None
        self._last_error = ""
        self._last_refusal = ""

    @workflow.run
    async def run(self, dispute: DisputeInput) -> str:
        """Wait for operations, decisions and deadlines, until the dispute has ended and nothing is left to do or to answer."""
        self._inbox.put_first([message.operation_id for message in dispute.pending])
        self._last_error, self._last_refusal = dispute.last_error, dispute.last_refusal
        view = self._see(await calls.look_at_dispute(dispute.dispute_id))
        while True:
            if view.state in _OVER and not self._has_news():
                await self._index.told(self._has_news)
                # What came meanwhile is answered by this run: there cannot be another one yet.
                if not self._has_news():
                    return view.state
            await self._deadline.wait(self._has_news, view.deadline_unix, view.deadline)
            for operation_id in self._inbox.take():
                await self._carry_out_operation(operation_id, view)
            while self._decisions:
                await self._decide(self._decisions.popleft(), view)
            view = self._see(await self._looked_at(view))
            if workflow.info().is_continue_as_new_suggested():
                await self._index.told(self._has_news)
                if not self._decisions:
                    pending = [DisputeMessage(view.dispute_id, operation_id) for operation_id in self._inbox.left()]
                    workflow.continue_as_new(DisputeInput(view.dispute_id, pending, self._last_error, self._last_refusal))

    @workflow.signal(description="Sent by the outbox: carry out an accepted operation, or look at the dispute again.")
    def message(self, *sent: object) -> None:
        self._inbox.put(sent)

    @workflow.signal(description="Decide the dispute. The current details say what to send; a decision that is refused is shown there.")
    def decide(self, *sent: object) -> None:
        self._decisions.append(sent)
        self._show()

    @workflow.query(description="The dispute as last read, what it waits for, and why the last decision was refused.")
    def state(self) -> dict[str, Any]:
        if self._view is None:
            return {}
        waits_for = dispute_waits_for(self._view)
        return {**asdict(self._view), "waits_for": waits_for, "last_refusal": self._last_refusal, "last_error": self._last_error}

    def _has_news(self) -> bool:
        return bool(self._inbox or self._decisions)

    async def _looked_at(self, view: DisputeView) -> DisputeView:
        """While something happens by itself at some time, looking at the dispute does it if it is due."""
        if not view.deadline_unix:
            return await calls.look_at_dispute(view.dispute_id)
        try:
            return await calls.pass_dispute_deadline(view.dispute_id)
        except (ActivityError, ApplicationError) as error:
            self._last_error = f"{view.deadline}: {error.cause or error}"
            return await calls.look_at_dispute(view.dispute_id)

    async def _decide(self, sent: Sequence[object], view: DisputeView) -> None:
        """Whatever was sent, it is judged, and what is wrong with it is shown."""
        try:
            decision = read_decision(sent)
        except MalformedDecision as malformed:
            self._refused("", str(malformed))
            return
        # The key makes this one decision, however often the activity runs.
        result = await calls.decide_dispute(DisputeDecision(view.dispute_id, decision, f"decide_{workflow.uuid4()}"))
        if result.refusal:
            self._refused(decision.by, result.refusal)
        self._see(result.dispute)

    def _refused(self, by: str, why: str) -> None:
        self._last_refusal = f"{workflow.now():%Y-%m-%d %H:%M:%S}Z{f', by {by}' if by else ''}: {why}"
        self._show()

    async def _carry_out_operation(self, operation_id: str, view: DisputeView) -> None:
        """Repeated and late messages are harmless: an operation that is finished has no steps."""
        try:
            plan = await calls.begin_operation(operation_id)
        except (ActivityError, ApplicationError) as error:
            # A local activity's failure comes bare.
            self._last_error = f"message ignored: {error.cause or error}"
            return
        if not plan.steps:
            return
        if plan.workflow_id != workflow.info().workflow_id or plan.kind not in _ITS_KINDS:
            self._last_error = f"message ignored: {operation_id} is carried out by {plan.workflow_id}"
            return
        self._plan = plan
        # Freezing and resolving follow each other within moments; the state may be a new one by now.
        self._see(await calls.look_at_dispute(view.dispute_id))
        result = await self.carry_out(plan)
        self._plan = None
        self._last_error = f"{plan.kind}: {result.refusal}" if result.refusal else ""
        self._index.tell(plan, result)

    def _see(self, view: DisputeView) -> DisputeView:
        self._view = view
        self._show()
        wanted: attributes.Wanted = [
            (attributes.ORDER_ID, view.order_id),
            (attributes.DISPUTE_STATUS, view.state),
            (attributes.ESCROW_CONTRACT, view.contract_id),
            (attributes.AMOUNT_STROOPS, view.amount_stroops),
            (attributes.DEADLINE, attributes.moment(view.deadline_unix)),
        ]
        if self._plan is not None:
            wanted += [(attributes.OPERATION_ID, self._plan.operation_id), (attributes.OPERATION_KIND, self._plan.kind)]
        self._attributes.show(wanted)
        return view

    def _show(self) -> None:
        if self._view is None:
            return
        doing = f"{self._plan.kind.replace('_', ' ')} ({self._plan.operation_id})" if self._plan else ""
        self.walk.note = dispute_page(self._view, doing, self._last_error, self._last_refusal)
        self.walk.show()
