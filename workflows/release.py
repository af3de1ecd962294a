"""Pay an escrow out to the seller."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.operation import OperationWorkflow


@workflow.defn(name="Release")
class ReleaseWorkflow(OperationWorkflow):
    """``release/<order id>``."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The seller completes and the buyer approves what is still open, the buyer releases; then the payout is booked."""
        return await self.carry_out(plan)
