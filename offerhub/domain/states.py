"""The state machines as data. Orders, escrows, disputes and withdrawals change only after their ``check_…_transition`` (``model.md`` §2).

Milestones and wallets follow what the chain has done; no table guards them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from offerhub.domain.errors import DomainError, ErrorCode


class OrderState(StrEnum):
    ORDER_CREATED = "ORDER_CREATED"
    FUNDS_RESERVED = "FUNDS_RESERVED"
    ESCROW_CREATING = "ESCROW_CREATING"
    ESCROW_FUNDING = "ESCROW_FUNDING"
    ESCROW_FUNDED = "ESCROW_FUNDED"
    IN_PROGRESS = "IN_PROGRESS"
    RELEASE_REQUESTED = "RELEASE_REQUESTED"
    RELEASED = "RELEASED"
    REFUND_REQUESTED = "REFUND_REQUESTED"
    REFUNDED = "REFUNDED"
    DISPUTED = "DISPUTED"
    CLOSED = "CLOSED"


class FinalStatus(StrEnum):
    """How a closed order ended. ``SPLIT``: both parties were paid; ``EXPIRED``: nobody acted in time and no money had moved."""

    RELEASED = "RELEASED"
    REFUNDED = "REFUNDED"
    SPLIT = "SPLIT"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"


class ReleaseMode(StrEnum):
    """``per_milestone`` orders have a multi-release contract, paid out, refunded and disputed milestone by milestone."""

    SINGLE = "single"
    PER_MILESTONE = "per_milestone"


class EscrowState(StrEnum):
    CREATING = "CREATING"
    CREATED = "CREATED"
    FUNDING = "FUNDING"
    FUNDED = "FUNDED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"
    REFUNDING = "REFUNDING"
    REFUNDED = "REFUNDED"
    DISPUTED = "DISPUTED"
    ABANDONED = "ABANDONED"


class MilestoneState(StrEnum):
    """``DISPUTED`` is for milestones of per-milestone orders; on the others the whole order is disputed."""

    OPEN = "OPEN"
    COMPLETED = "COMPLETED"
    APPROVED = "APPROVED"
    RELEASED = "RELEASED"
    DISPUTED = "DISPUTED"
    REFUNDED = "REFUNDED"
    SPLIT = "SPLIT"


# What nothing can be done with any more.
SETTLED_MILESTONES = frozenset({MilestoneState.RELEASED, MilestoneState.REFUNDED, MilestoneState.SPLIT})


class DisputeState(StrEnum):
    """``REFUSED``: the contract would not be frozen, so there is nothing to decide and the order goes on."""

    OPEN = "OPEN"
    UNDER_REVIEW = "UNDER_REVIEW"
    RESOLVING = "RESOLVING"
    RESOLVED = "RESOLVED"
    REFUSED = "REFUSED"


class Decision(StrEnum):
    FULL_RELEASE = "FULL_RELEASE"
    FULL_REFUND = "FULL_REFUND"
    SPLIT = "SPLIT"


class WithdrawalState(StrEnum):
    """``COMMITTED``: the money is held for it. ``PENDING``: its workflow carries it out."""

    CREATED = "WITHDRAWAL_CREATED"
    COMMITTED = "WITHDRAWAL_COMMITTED"
    PENDING = "WITHDRAWAL_PENDING"
    COMPLETED = "WITHDRAWAL_COMPLETED"
    FAILED = "WITHDRAWAL_FAILED"


class WalletState(StrEnum):
    PREPARED = "PREPARED"
    ACTIVATING = "ACTIVATING"
    READY = "READY"
    RETIRED = "RETIRED"


class OperationStatus(StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"


class AttemptState(StrEnum):
    """One signed envelope. ``UNKNOWN`` means that nobody can tell yet; it is open like SIGNED and SUBMITTED."""

    SIGNED = "SIGNED"
    SUBMITTED = "SUBMITTED"
    CONFIRMED = "CONFIRMED"
    REJECTED = "REJECTED"
    DEAD = "DEAD"
    UNKNOWN = "UNKNOWN"


OPEN_ATTEMPT_STATES = frozenset({AttemptState.SIGNED, AttemptState.SUBMITTED, AttemptState.UNKNOWN})

_O = OrderState
ORDER_TRANSITIONS: Mapping[OrderState, frozenset[OrderState]] = {
    _O.ORDER_CREATED: frozenset({_O.FUNDS_RESERVED, _O.CLOSED}),
    _O.FUNDS_RESERVED: frozenset({_O.ESCROW_CREATING, _O.CLOSED}),
    # A refused deployment gives the order back to FUNDS_RESERVED: nothing exists on the chain.
    _O.ESCROW_CREATING: frozenset({_O.ESCROW_FUNDING, _O.FUNDS_RESERVED}),
    # An escrow that was never funded is abandoned.
    _O.ESCROW_FUNDING: frozenset({_O.ESCROW_FUNDED, _O.CLOSED}),
    _O.ESCROW_FUNDED: frozenset({_O.IN_PROGRESS}),
    # RELEASED and REFUNDED directly: the last milestone of a per-milestone order.
    _O.IN_PROGRESS: frozenset({_O.RELEASE_REQUESTED, _O.REFUND_REQUESTED, _O.DISPUTED, _O.RELEASED, _O.REFUNDED}),
    _O.RELEASE_REQUESTED: frozenset({_O.RELEASED, _O.IN_PROGRESS}),
    # A refund freezes the contract first: one whose second step is refused leaves a dispute for a person to decide.
    _O.REFUND_REQUESTED: frozenset({_O.REFUNDED, _O.IN_PROGRESS, _O.DISPUTED}),
    _O.DISPUTED: frozenset({_O.RELEASED, _O.REFUNDED, _O.IN_PROGRESS}),
    _O.RELEASED: frozenset({_O.CLOSED}),
    _O.REFUNDED: frozenset({_O.CLOSED}),
    _O.CLOSED: frozenset(),
}

_E = EscrowState
ESCROW_TRANSITIONS: Mapping[EscrowState, frozenset[EscrowState]] = {
    _E.CREATING: frozenset({_E.CREATED}),
    _E.CREATED: frozenset({_E.FUNDING, _E.ABANDONED}),
    _E.FUNDING: frozenset({_E.FUNDED, _E.CREATED}),
    _E.FUNDED: frozenset({_E.RELEASING, _E.REFUNDING, _E.DISPUTED, _E.RELEASED, _E.REFUNDED}),
    _E.RELEASING: frozenset({_E.RELEASED, _E.FUNDED}),
    _E.REFUNDING: frozenset({_E.REFUNDED, _E.FUNDED, _E.DISPUTED}),
    _E.DISPUTED: frozenset({_E.RELEASED, _E.REFUNDED}),
    _E.RELEASED: frozenset(),
    _E.REFUNDED: frozenset(),
    _E.ABANDONED: frozenset(),
}

_S = DisputeState
DISPUTE_TRANSITIONS: Mapping[DisputeState, frozenset[DisputeState]] = {
    _S.OPEN: frozenset({_S.UNDER_REVIEW, _S.RESOLVING, _S.REFUSED}),
    _S.UNDER_REVIEW: frozenset({_S.UNDER_REVIEW, _S.RESOLVING, _S.REFUSED}),
    # A refused resolution leaves the dispute to be decided again.
    _S.RESOLVING: frozenset({_S.RESOLVED, _S.UNDER_REVIEW}),
    _S.RESOLVED: frozenset(),
    _S.REFUSED: frozenset(),
}

_D = WithdrawalState
WITHDRAWAL_TRANSITIONS: Mapping[WithdrawalState, frozenset[WithdrawalState]] = {
    _D.CREATED: frozenset({_D.COMMITTED}),
    _D.COMMITTED: frozenset({_D.PENDING, _D.FAILED}),
    _D.PENDING: frozenset({_D.COMPLETED, _D.FAILED}),
    _D.COMPLETED: frozenset(),
    _D.FAILED: frozenset(),
}


def check_order_transition(current: OrderState, target: OrderState) -> None:
    """Raise ``INVALID_STATE`` with ``currentState`` and ``allowedStates`` (the states ``target`` may be reached from)."""
    _check("order", ORDER_TRANSITIONS, current, target)


def require_order_state(current: OrderState, *allowed: OrderState) -> None:
    """A command's own precondition, where it is narrower than the transition table."""
    if current not in allowed:
        raise invalid_state("order", current, [state.value for state in allowed])


def check_escrow_transition(current: EscrowState, target: EscrowState) -> None:
    _check("escrow", ESCROW_TRANSITIONS, current, target)


def check_dispute_transition(current: DisputeState, target: DisputeState) -> None:
    _check("dispute", DISPUTE_TRANSITIONS, current, target)


def check_withdrawal_transition(current: WithdrawalState, target: WithdrawalState) -> None:
    _check("withdrawal", WITHDRAWAL_TRANSITIONS, current, target)


State = TypeVar("State", bound=StrEnum)


def _check(entity: str, transitions: Mapping[State, frozenset[State]], current: State, target: State) -> None:
    if target not in transitions[current]:
        allowed = sorted(state.value for state, targets in transitions.items() if target in targets)
        raise invalid_state(entity, current, allowed)


def invalid_state(entity: str, current: StrEnum, allowed: list[str]) -> DomainError:
    return DomainError(
        ErrorCode.INVALID_STATE,
        f"The {entity} is {current.value}; this needs {' or '.join(allowed) or 'another state'}.",
        {"currentState": current.value, "allowedStates": allowed},
    )
