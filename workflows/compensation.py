"""Give a refunded buyer back what the contract took in fees."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.operation import OperationWorkflow


@workflow.defn(name="Compensation")
class CompensationWorkflow(OperationWorkflow):
    """``compensation/<order id>``."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """One payment of the platform's own account, refused where the platform has earned too little; then it is booked."""
        return await self.carry_out(plan)
