"""Pay an escrow out to the seller."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.chain_step import StepRefused
from workflows.operation import OperationWorkflow


@workflow.defn(name="Release")
class ReleaseWorkflow(OperationWorkflow):
    """``release/<order id>``."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The seller completes and the buyer approves what is still open, the buyer releases; then the payout is booked."""
        *approvals, release = plan.steps
        try:
            for approval in approvals:
                await self.walk.carry_out(approval)
            await self.walk.carry_out(release)
        except StepRefused as refused:
            return await self.refuse(plan, refused)
        return await self.book(plan)
