"""What every verb's workflow shares: the walk through its steps, how it is booked or refused, and how operators look into it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from datetime import timedelta
from typing import Any, TypeVar

from temporalio import workflow

from offerhub.domain.messages import (
    Acceptance,
    Booking,
    BookingResult,
    OperationPlan,
    OperationResult,
    PlannedStep,
    Refusal,
    WithdrawalBooking,
)
from offerhub.domain.plans import Action, OperationKind
from workflows import calls
from workflows.chain_step import StepRefused, Walk
from workflows.decision import MalformedDecision, read_note

LOOK_AGAIN = timedelta(seconds=5)
# Somebody who pays in between our look and our envelope, this often for one resolution, means it: a person decides what then.
MOST_GIFTS = 5
Booked = TypeVar("Booked", BookingResult, WithdrawalBooking)


class OperationWorkflow:
    """One operation's way through the chain and into the books. The plan says which steps, in which order."""

    def __init__(self) -> None:
        self.walk = Walk()
        self._retry_asked = False
        self._mismatch = ""
        self._accepted: Acceptance | None = None

    async def carry_out(self, plan: OperationPlan) -> OperationResult:
        """Go through the steps and book; or refuse, so that the order goes back to where the marketplace can act.

        Nothing is refused while an envelope may still apply: what became of it is found out by going through the same steps again.
        """
        while True:
            try:
                return await self._through(plan)
            except StepRefused as refused:
                refusal = Refusal(plan.operation_id, plan.kind, refused.code, refused.message, refused.details)
            order = await calls.refuse_operation(refusal)
            if order is not None:
                return OperationResult(order, self.walk.outcomes, refusal.message)
            await workflow.sleep(LOOK_AGAIN, summary="refused, but a signed envelope may still apply")
            plan = await calls.begin_operation(plan.operation_id)

    async def _through(self, plan: OperationPlan) -> OperationResult:
        for step in plan.steps:
            await self._carry_out(plan, step)
            if plan.kind == OperationKind.CHECKOUT and step.action == Action.DEPLOY:
                await self._book(plan)
        return OperationResult((await self._book(plan)).order, self.walk.outcomes)

    async def _book(self, plan: OperationPlan) -> BookingResult:
        return await self.until_booked(plan.operation_id, lambda: calls.book_operation(Booking(plan.operation_id, self._accepted)))

    async def _carry_out(self, plan: OperationPlan, step: PlannedStep) -> None:
        """Before some steps the chain is asked: is this our contract, and what does it hold?"""
        if step.action == Action.RESOLVE:
            await self._resolve(plan, step)
            return
        if step.action == Action.FUND:
            await self.walk.check_contract(step)
        await self.walk.carry_out(step)

    async def _resolve(self, plan: OperationPlan, step: PlannedStep) -> None:
        """The contract pays out all it holds or nothing. When it refuses, a stranger may have paid in since we looked."""
        known_stroops = await calls.observe_excess(plan.operation_id)
        for _gift in range(MOST_GIFTS):
            try:
                await self.walk.carry_out(step)
            except StepRefused:
                found_stroops = await calls.observe_excess(plan.operation_id)
                if found_stroops == known_stroops:
                    raise
                known_stroops = found_stroops
            else:
                return
        await self.walk.carry_out(step)

    async def until_booked(self, operation_id: str, book: Callable[[], Awaitable[Booked]]) -> Booked:
        """Move the ledger as the chain moved the money. Where the two disagree nothing is booked until a person says ``retry``.

        Each ``retry`` has the chain say once more what it moved: what was read first may have been incomplete.
        """
        self._mismatch, self._accepted = "", None
        while True:
            self._retry_asked = False
            booked = await book()
            if not booked.mismatch:
                return booked
            self._mismatch, self._accepted = booked.mismatch, None
            self.walk.note = f"**Nothing is booked: {booked.mismatch}.** Signal `retry` once this is understood.{_or_accept(booked)}"
            self.walk.show()
            await workflow.wait_condition(lambda: self._retry_asked)
            await calls.read_movements_again(operation_id)

    @workflow.signal(description="After a mismatch between books and chain has been looked into: try to book again.")
    def retry(self, *_nothing: object) -> None:
        self._retry_asked = True

    @workflow.signal(description="Book what the contract paid, though it took other fees than promised. One string: who decides, and why.")
    def accept_payout(self, *sent: object) -> None:
        try:
            # Accepted is the difference that a person has read: another one is not.
            self._accepted = Acceptance(self._mismatch, read_note(sent))
        except MalformedDecision as malformed:
            said = f" Not accepted: {malformed}."
            self.walk.note = self.walk.note.replace(said, "") + said
            self.walk.show()
        else:
            self._retry_asked = True

    @workflow.query(description="The steps of this operation and how far each one is.")
    def plan(self) -> list[dict[str, Any]]:
        return [asdict(shown) for shown in self.walk.progress]

    @workflow.query(description="The transactions that were applied, with ledger and movements of money.")
    def attempts(self) -> list[dict[str, Any]]:
        return [asdict(outcome) for outcome in self.walk.outcomes]


def _or_accept(booked: BookingResult | WithdrawalBooking) -> str:
    """A payment of our own moves what it says; only a contract may take other fees than we know."""
    if not isinstance(booked, BookingResult) or not booked.may_be_accepted:
        return ""
    return " If the contract did pay that, signal `accept_payout` with who decides, and why, to have it booked as it is."
