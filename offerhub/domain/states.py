"""The state machines as data. Orders, escrows and withdrawals change only after their ``check_…_transition`` (``model.md`` §2).

Milestones and wallets follow what the chain has done; no table guards them.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

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
    CLOSED = "CLOSED"


class FinalStatus(StrEnum):
    RELEASED = "RELEASED"
    CANCELED = "CANCELED"


class EscrowState(StrEnum):
    CREATING = "CREATING"
    CREATED = "CREATED"
    FUNDING = "FUNDING"
    FUNDED = "FUNDED"
    RELEASING = "RELEASING"
    RELEASED = "RELEASED"


class MilestoneState(StrEnum):
    OPEN = "OPEN"
    COMPLETED = "COMPLETED"
    APPROVED = "APPROVED"
    RELEASED = "RELEASED"


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
    _O.ESCROW_FUNDING: frozenset({_O.ESCROW_FUNDED}),
    _O.ESCROW_FUNDED: frozenset({_O.IN_PROGRESS}),
    _O.IN_PROGRESS: frozenset({_O.RELEASE_REQUESTED}),
    _O.RELEASE_REQUESTED: frozenset({_O.RELEASED, _O.IN_PROGRESS}),
    _O.RELEASED: frozenset({_O.CLOSED}),
    _O.CLOSED: frozenset(),
}

_E = EscrowState
ESCROW_TRANSITIONS: Mapping[EscrowState, frozenset[EscrowState]] = {
    _E.CREATING: frozenset({_E.CREATED}),
    _E.CREATED: frozenset({_E.FUNDING}),
    _E.FUNDING: frozenset({_E.FUNDED, _E.CREATED}),
    _E.FUNDED: frozenset({_E.RELEASING}),
    _E.RELEASING: frozenset({_E.RELEASED, _E.FUNDED}),
    _E.RELEASED: frozenset(),
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
    if target not in ORDER_TRANSITIONS[current]:
        allowed = sorted(state.value for state, targets in ORDER_TRANSITIONS.items() if target in targets)
        raise invalid_state("order", current, allowed)


def require_order_state(current: OrderState, *allowed: OrderState) -> None:
    """A command's own precondition, where it is narrower than the transition table."""
    if current not in allowed:
        raise invalid_state("order", current, [state.value for state in allowed])


def check_escrow_transition(current: EscrowState, target: EscrowState) -> None:
    if target not in ESCROW_TRANSITIONS[current]:
        allowed = sorted(state.value for state, targets in ESCROW_TRANSITIONS.items() if target in targets)
        raise invalid_state("escrow", current, allowed)


def check_withdrawal_transition(current: WithdrawalState, target: WithdrawalState) -> None:
    if target not in WITHDRAWAL_TRANSITIONS[current]:
        allowed = sorted(state.value for state, targets in WITHDRAWAL_TRANSITIONS.items() if target in targets)
        raise invalid_state("withdrawal", current, allowed)


def invalid_state(entity: str, current: StrEnum, allowed: list[str]) -> DomainError:
    return DomainError(
        ErrorCode.INVALID_STATE,
        f"The {entity} is {current.value}; this needs {' or '.join(allowed) or 'another state'}.",
        {"currentState": current.value, "allowedStates": allowed},
    )
