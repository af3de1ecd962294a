"""Bring an order's escrow contract onto the chain, and the buyer's money into it: two operations, one transaction each."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from offerhub.domain.plans import Action
from workflows.chain_step import StepRefused
from workflows.operation import OperationWorkflow


@workflow.defn(name="EscrowFunding")
class EscrowFundingWorkflow(OperationWorkflow):
    """``escrow/<id>``, for the kinds ``escrow_creation`` (deploy) and ``escrow_funding`` (fund)."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The platform deploys the contract; or it is read back from the chain and the buyer pays into it. Then it is booked."""
        try:
            for step in plan.steps:
                if step.action == Action.FUND:
                    await self.walk.check_contract(step)
                await self.walk.carry_out(step)
        except StepRefused as refused:
            return await self.refuse(plan, refused)
        return await self.book(plan)
