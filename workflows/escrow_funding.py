"""Bring an order's escrow contract onto the chain and the buyer's money into it."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.messages import OperationPlan, OperationResult
from workflows.operation import OperationWorkflow


@workflow.defn(name="EscrowFunding")
class EscrowFundingWorkflow(OperationWorkflow):
    """``escrow/<id>``, for the kinds ``escrow_creation``, ``escrow_funding`` and ``checkout`` (both in one)."""

    @workflow.run
    async def run(self, plan: OperationPlan) -> OperationResult:
        """The platform deploys the contract; it is read back from the chain and the buyer pays into it. Each is booked when it is done."""
        return await self.carry_out(plan)
