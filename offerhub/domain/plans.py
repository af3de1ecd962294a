"""Which chain transactions carry out an operation, in order, and who signs each: a verb is a plan, nothing more.

Refund, dispute and split are further plans over the same steps' machinery.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from offerhub.domain.states import MilestoneState


class OperationKind(StrEnum):
    """The verbs that reach the chain."""

    ESCROW_CREATION = "escrow_creation"
    ESCROW_FUNDING = "escrow_funding"
    RELEASE = "release"
    WITHDRAWAL = "withdrawal"


class Action(StrEnum):
    DEPLOY = "deploy"
    FUND = "fund"
    COMPLETE_MILESTONE = "complete_milestone"
    APPROVE_MILESTONE = "approve_milestone"
    RELEASE = "release"
    PAY_OUT = "pay_out"


class Party(StrEnum):
    """Whose account is source and signer of a step."""

    BUYER = "buyer"
    SELLER = "seller"
    SIGNER = "signer"
    OWNER = "owner"


@dataclass(frozen=True)
class Step:
    """One transaction of a plan. ``milestone_index`` is the 0-based position on the contract, where the action has one."""

    action: Action
    party: Party
    milestone_index: int | None = None

    @property
    def name(self) -> str:
        return self.action.value if self.milestone_index is None else f"{self.action.value}:{self.milestone_index}"


_PARTY = {
    Action.DEPLOY: Party.SIGNER,
    Action.FUND: Party.BUYER,
    Action.COMPLETE_MILESTONE: Party.SELLER,
    Action.APPROVE_MILESTONE: Party.BUYER,
    Action.RELEASE: Party.BUYER,
    Action.PAY_OUT: Party.OWNER,
}
MOVES_MONEY = frozenset({Action.FUND, Action.RELEASE, Action.PAY_OUT})
PAY_OUT = Step(Action.PAY_OUT, Party.OWNER)


def plan(kind: OperationKind, milestones: Sequence[MilestoneState] = ()) -> tuple[Step, ...]:
    """The steps still to be done for ``kind``, given what the contract already records of each milestone."""
    match kind:
        case OperationKind.ESCROW_CREATION:
            return (Step(Action.DEPLOY, Party.SIGNER),)
        case OperationKind.ESCROW_FUNDING:
            return (Step(Action.FUND, Party.BUYER),)
        case OperationKind.RELEASE:
            return (*_approvals(milestones), Step(Action.RELEASE, Party.BUYER))
        case OperationKind.WITHDRAWAL:
            return (PAY_OUT,)


def _approvals(milestones: Sequence[MilestoneState]) -> list[Step]:
    steps: list[Step] = []
    for index, state in enumerate(milestones):
        if state is MilestoneState.OPEN:
            steps.append(Step(Action.COMPLETE_MILESTONE, Party.SELLER, index))
        if state in (MilestoneState.OPEN, MilestoneState.COMPLETED):
            steps.append(Step(Action.APPROVE_MILESTONE, Party.BUYER, index))
    return steps


def intent_id(operation_id: str, step: Step) -> str:
    """Stable for ever: the same step of the same operation is the same intent, however often it is tried."""
    return f"{operation_id}/{step.name}"


def parse_intent_id(text: str) -> tuple[str, Step]:
    """The operation and the step that ``intent_id`` was made of. ``LookupError`` for any other spelling: it would be another intent."""
    operation_id, _, name = text.partition("/")
    action_name, _, index = name.partition(":")
    try:
        action = Action(action_name)
        step = Step(action, _PARTY[action], int(index) if index else None)
    except ValueError:
        raise LookupError(f"{text!r} names no step") from None
    if intent_id(operation_id, step) != text:
        raise LookupError(f"{text!r} is not how {intent_id(operation_id, step)} is spelled")
    return operation_id, step
