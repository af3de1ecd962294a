"""Empty a contract after its last milestone."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.operation import OperationWorkflow


@workflow.defn(name="Remainder")
class RemainderWorkflow(OperationWorkflow):
    """``remainder/<order id>``."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """What somebody outside has paid into the contract goes to the buyer, less the contract's fees; then it is booked."""
        return await self.carry_out(plan)
