"""Record the delivery of one milestone on the contract, or pay it out."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.operation import OperationWorkflow


@workflow.defn(name="Milestone")
class MilestoneWorkflow(OperationWorkflow):
    """``milestone/<id>``, for the kinds ``milestone_completion`` and ``milestone_release``."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The seller completes; or what is still open is completed and approved and the buyer releases. Then it is booked."""
        return await self.carry_out(plan)
