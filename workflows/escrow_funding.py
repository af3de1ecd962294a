"""Bring an order's escrow contract onto the chain, and the buyer's money into it: two operations, one transaction each."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from offerhub.domain.plans import Action
from workflows.operation import OperationWorkflow


@workflow.defn(name="EscrowFunding")
class EscrowFundingWorkflow(OperationWorkflow):
    """``escrow/<id>``, for the kinds ``escrow_creation`` (deploy) and ``escrow_funding`` (fund)."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The platform deploys the contract; or it is read back from the chain and the buyer pays into it. Then it is booked."""

        async def steps() -> None:
            for step in plan.steps:
                if step.action == Action.FUND:
                    await self.walk.check_contract(step)
                await self.walk.carry_out(step)

        return await self.carry_out(plan, steps)
