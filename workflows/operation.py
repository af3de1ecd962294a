"""What every verb's child workflow shares: how it is booked or refused, and how operators look into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from offerhub.domain.messages import BookingResult, OperationPlan, OperationResult, Refusal, WithdrawalBooking
from workflows import calls
from workflows.chain_step import StepRefused, Walk

LOOK_AGAIN = timedelta(seconds=5)
Booked = TypeVar("Booked", BookingResult, WithdrawalBooking)


class OperationWorkflow:
    """One operation's way through the chain and into the books; the verbs add the order of the steps."""

    def __init__(self) -> None:
        self.walk = Walk()
        self._retry_asked = False

    async def book(self, plan: OperationPlan) -> OperationResult:
        """Move the ledger as the chain moved the money. Where the two disagree nothing is booked until a person says ``retry``."""
        booked = await self.until_booked(plan.operation_id, lambda: calls.book_operation(plan.operation_id))
        return OperationResult(booked.order, self.walk.outcomes)

    async def until_booked(self, operation_id: str, book: Callable[[], Awaitable[Booked]]) -> Booked:
        """Each ``retry`` has the chain say once more what it moved: what was read first may have been incomplete."""
        while True:
            self._retry_asked = False
            booked = await book()
            if not booked.mismatch:
                return booked
            self.walk.note = f"**Nothing is booked: {booked.mismatch}.** Signal `retry` once this is understood."
            self.walk.show()
            await workflow.wait_condition(lambda: self._retry_asked)
            await calls.read_movements_again(operation_id)

    async def carry_out(self, plan: OperationPlan, steps: Callable[[], Awaitable[None]]) -> OperationResult:
        """Go through the steps and book; or refuse, so that the order goes back to where the marketplace can act.

        Nothing is refused while an envelope may still apply: what became of it is found out by going through the same steps again.
        """
        while True:
            try:
                await steps()
            except StepRefused as refused:
                refusal = Refusal(plan.operation_id, plan.kind, refused.code, refused.message, refused.details)
                order = await calls.refuse_operation(refusal)
                if order is not None:
                    return OperationResult(order, self.walk.outcomes, refused.message)
                await workflow.sleep(LOOK_AGAIN, summary="refused, but a signed envelope may still apply")
            else:
                return await self.book(plan)

    @workflow.signal(description="After a mismatch between books and chain has been looked into: try to book again.")
    def retry(self) -> None:
        self._retry_asked = True

    @workflow.query(description="The steps of this operation and how far each one is.")
    def plan(self) -> list[dict[str, Any]]:
        return [asdict(shown) for shown in self.walk.progress]

    @workflow.query(description="The transactions that were applied, with ledger and movements of money.")
    def attempts(self) -> list[dict[str, Any]]:
        return [asdict(outcome) for outcome in self.walk.outcomes]
