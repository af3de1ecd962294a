"""Pay a user's money out to an account on the network."""

from __future__ import annotations

from datetime import timedelta

from temporalio import workflow
from temporalio.common import SearchAttributeKey

from offerhub.domain.messages import Refusal, WithdrawalInput, WithdrawalPlan, WithdrawalView
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import WithdrawalState
from workflows import calls
from workflows.chain_step import StepRefused
from workflows.operation import OperationWorkflow

_OPERATION_ID = SearchAttributeKey.for_keyword("OperationId")
_AMOUNT_STROOPS = SearchAttributeKey.for_int("AmountStroops")
_LOOK_AGAIN = timedelta(seconds=5)


@workflow.defn(name="Withdrawal")
class WithdrawalWorkflow(OperationWorkflow):
    """``withdrawal/<id>``, started by the outbox. Started again, by whomever, it goes on where the books say it is."""

    @workflow.run
    async def run(self, started: WithdrawalInput) -> str:
        """One payment, then it is booked. The hold is given back only if no signed envelope may still apply."""
        plan = await calls.begin_withdrawal(started.operation_id)
        self._show(plan.withdrawal)
        workflow.upsert_search_attributes(
            [_OPERATION_ID.value_set(plan.operation_id), _AMOUNT_STROOPS.value_set(plan.withdrawal.amount_stroops)]
        )
        if plan.step is None:
            return plan.withdrawal.state
        while True:
            try:
                await self.walk.carry_out(plan.step)
                break
            except StepRefused as refused:
                withdrawal = await self._refuse(plan, refused)
            if withdrawal.state != WithdrawalState.PENDING:
                self._show(withdrawal)
                return withdrawal.state
            # An envelope is in the open after all: what became of it is found out by carrying out the same step.
            await workflow.sleep(_LOOK_AGAIN, summary="refused, but a signed envelope may still apply")
        booked = await self.until_booked(plan.operation_id, lambda: calls.book_withdrawal(plan.operation_id))
        self._show(booked.withdrawal)
        return booked.withdrawal.state

    async def _refuse(self, plan: WithdrawalPlan, refused: StepRefused) -> WithdrawalView:
        return await calls.refuse_withdrawal(
            Refusal(plan.operation_id, OperationKind.WITHDRAWAL, refused.code, refused.message, refused.details)
        )

    def _show(self, withdrawal: WithdrawalView) -> None:
        memo = f", memo {withdrawal.memo}" if withdrawal.memo else ""
        self.walk.note = f"**{withdrawal.state}** · {withdrawal.amount} USDC of {withdrawal.user_id} → `{withdrawal.destination}`{memo}"
        self.walk.show()
