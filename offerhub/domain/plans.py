"""Which chain transactions carry out an operation, in order, and who signs each: a verb is a plan, nothing more.

Whatever is peculiar to one operation (the milestone, who disputes, what is paid to whom) is decided when it is accepted and stored with
it as its ``Subject``; every step, every comparison and every booking is derived from order, kind and subject alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from offerhub.domain.states import MilestoneState


class OperationKind(StrEnum):
    """The verbs that reach the chain."""

    ESCROW_CREATION = "escrow_creation"
    ESCROW_FUNDING = "escrow_funding"
    CHECKOUT = "checkout"
    MILESTONE_COMPLETION = "milestone_completion"
    MILESTONE_RELEASE = "milestone_release"
    RELEASE = "release"
    REFUND = "refund"
    DISPUTE_OPENING = "dispute_opening"
    DISPUTE_RESOLUTION = "dispute_resolution"
    REMAINDER = "remainder"
    COMPENSATION = "compensation"
    WITHDRAWAL = "withdrawal"


class Action(StrEnum):
    DEPLOY = "deploy"
    FUND = "fund"
    COMPLETE_MILESTONE = "complete_milestone"
    APPROVE_MILESTONE = "approve_milestone"
    RELEASE = "release"
    DISPUTE_BY_BUYER = "dispute_by_buyer"
    DISPUTE_BY_SELLER = "dispute_by_seller"
    RESOLVE = "resolve"
    WITHDRAW_REMAINING = "withdraw_remaining"
    COMPENSATE = "compensate"
    PAY_OUT = "pay_out"


class Party(StrEnum):
    """Whose account is source and signer of a step."""

    BUYER = "buyer"
    SELLER = "seller"
    SIGNER = "signer"
    OWNER = "owner"
    PLATFORM = "platform"


@dataclass(frozen=True)
class Step:
    """One transaction of a plan. ``milestone_index`` is the 0-based position on the contract, where the action has one.

    ``RELEASE``, ``DISPUTE_…`` and ``RESOLVE`` have one on multi-release contracts only.
    """

    action: Action
    party: Party
    milestone_index: int | None = None

    @property
    def name(self) -> str:
        return self.action.value if self.milestone_index is None else f"{self.action.value}:{self.milestone_index}"


@dataclass(frozen=True)
class Subject:
    """What one operation is about beyond its order: fixed at acceptance, stored with the operation.

    ``milestone_index`` is set for the milestone verbs and, on per-milestone orders, for refunds and disputes. ``seller_stroops`` and
    ``buyer_stroops`` are the gross shares a resolution distributes, or what a compensation pays; ``excess_stroops`` is what somebody
    outside had paid into the contract, found before it was paid out. ``accepted_mismatch`` and ``accepted_note`` are set once a person has
    accepted that the contract took other fees than promised: what was read, and who accepts it, and why.
    """

    milestone_index: int | None = None
    per_milestone: bool = False
    opened_by: Party = Party.BUYER
    dispute_id: str | None = None
    seller_stroops: int = 0
    buyer_stroops: int = 0
    excess_stroops: int = 0
    evidence: str = ""
    accepted_mismatch: str = ""
    accepted_note: str = ""

    @property
    def buyer_gross_stroops(self) -> int:
        """The excess goes to the buyer: it is nobody else's by the order, and cannot stay."""
        return self.buyer_stroops + self.excess_stroops

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults, so that most operations store nothing."""
        return {name: value for name, value in asdict(self).items() if value != getattr(NOTHING_SPECIAL, name)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Subject:
        return cls(**{**stored, **({"opened_by": Party(stored["opened_by"])} if "opened_by" in stored else {})})


NOTHING_SPECIAL = Subject()

_PARTY = {
    Action.DEPLOY: Party.SIGNER,
    Action.FUND: Party.BUYER,
    Action.COMPLETE_MILESTONE: Party.SELLER,
    Action.APPROVE_MILESTONE: Party.BUYER,
    Action.RELEASE: Party.BUYER,
    Action.DISPUTE_BY_BUYER: Party.BUYER,
    Action.DISPUTE_BY_SELLER: Party.SELLER,
    Action.RESOLVE: Party.SIGNER,
    Action.WITHDRAW_REMAINING: Party.SIGNER,
    Action.COMPENSATE: Party.PLATFORM,
    Action.PAY_OUT: Party.OWNER,
}
MOVES_MONEY = frozenset({Action.FUND, Action.RELEASE, Action.RESOLVE, Action.WITHDRAW_REMAINING, Action.COMPENSATE, Action.PAY_OUT})
# Built by ourselves: classic payments. Everything else is a call of the escrow contract that Trustless Work builds.
OWN_PAYMENTS = frozenset({Action.COMPENSATE, Action.PAY_OUT})


def step(action: Action, milestone_index: int | None = None) -> Step:
    return Step(action, _PARTY[action], milestone_index)


PAY_OUT = step(Action.PAY_OUT)


def plan(kind: OperationKind, milestones: Sequence[MilestoneState] = (), subject: Subject = NOTHING_SPECIAL) -> tuple[Step, ...]:
    """The steps still to be done for ``kind``, given what the contract already records of each milestone."""
    index = subject.milestone_index
    on_contract = index if subject.per_milestone else None
    match kind:
        case OperationKind.MILESTONE_COMPLETION:
            return (step(Action.COMPLETE_MILESTONE, index),)
        case OperationKind.MILESTONE_RELEASE | OperationKind.RELEASE:
            return (*_approvals(milestones, index), step(Action.RELEASE, on_contract))
        case OperationKind.DISPUTE_OPENING:
            by_seller = subject.opened_by is Party.SELLER
            return (step(Action.DISPUTE_BY_SELLER if by_seller else Action.DISPUTE_BY_BUYER, on_contract),)
        case OperationKind.REFUND:
            return (step(Action.DISPUTE_BY_BUYER, on_contract), step(Action.RESOLVE, on_contract))
        case OperationKind.DISPUTE_RESOLUTION:
            return (step(Action.RESOLVE, on_contract),)
        case _:
            return tuple(step(action) for action in _ALWAYS_THE_SAME[kind])


_ALWAYS_THE_SAME = {
    OperationKind.ESCROW_CREATION: (Action.DEPLOY,),
    OperationKind.ESCROW_FUNDING: (Action.FUND,),
    OperationKind.CHECKOUT: (Action.DEPLOY, Action.FUND),
    OperationKind.REMAINDER: (Action.WITHDRAW_REMAINING,),
    OperationKind.COMPENSATION: (Action.COMPENSATE,),
    OperationKind.WITHDRAWAL: (Action.PAY_OUT,),
}


def _approvals(milestones: Sequence[MilestoneState], only: int | None) -> list[Step]:
    """Of all milestones, or of one."""
    steps: list[Step] = []
    for index, state in enumerate(milestones):
        if only not in (None, index):
            continue
        if state is MilestoneState.OPEN:
            steps.append(step(Action.COMPLETE_MILESTONE, index))
        if state in (MilestoneState.OPEN, MilestoneState.COMPLETED):
            steps.append(step(Action.APPROVE_MILESTONE, index))
    return steps


def intent_id(operation_id: str, wanted: Step) -> str:
    """Stable for ever: the same step of the same operation is the same intent, however often it is tried."""
    return f"{operation_id}/{wanted.name}"


def parse_intent_id(text: str) -> tuple[str, Step]:
    """The operation and the step that ``intent_id`` was made of. ``LookupError`` for any other spelling: it would be another intent."""
    operation_id, _, name = text.partition("/")
    action_name, _, index = name.partition(":")
    try:
        found = step(Action(action_name), int(index) if index else None)
    except ValueError:
        raise LookupError(f"{text!r} names no step") from None
    if intent_id(operation_id, found) != text:
        raise LookupError(f"{text!r} is not how {intent_id(operation_id, found)} is spelled")
    return operation_id, found
