"""Give the buyer the money back."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.operation import OperationWorkflow


@workflow.defn(name="Refund")
class RefundWorkflow(OperationWorkflow):
    """``refund/<order id>``."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The buyer disputes, which freezes the contract; the platform resolves it in the buyer's favor; then the payout is booked."""
        return await self.carry_out(plan)
