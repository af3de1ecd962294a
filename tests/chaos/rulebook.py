"""What every command must be answered with, in every state: `model.md` §2 and §3 written down once more, apart from the product.

``Moment`` is what one committed state of an order says; a command's rules are asked in order, and the first that speaks decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

UNSETTLED = ("OPEN", "COMPLETED", "APPROVED")
UNDECIDED = ("OPEN", "UNDER_REVIEW")


@dataclass(frozen=True)
class Known:
    """One operation as a moment shows it."""

    id: str
    kind: str
    index: int | None
    runs: bool


@dataclass(frozen=True)
class Moment:
    state: str
    final_status: str | None
    is_per_milestone: bool
    will_release: bool
    escrow: str | None
    milestones: tuple[str, ...]
    operations: tuple[Known, ...]
    disputes: Mapping[str, tuple[str, bool]]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Moment:
        """From a row of the witness."""
        return cls(
            row["state"],
            row["final_status"],
            row["release_mode"] == "per_milestone",
            bool(row["will_release"]),
            row["escrow"],
            tuple(row["milestones"]),
            tuple(Known(*one) for one in row["operations"]),
            {dispute_id: (state, is_frozen) for dispute_id, state, is_frozen in row["disputes"]},
        )

    @property
    def running(self) -> Known | None:
        return next((one for one in self.operations if one.runs), None)

    @property
    def undecided(self) -> str | None:
        """The dispute that nobody has settled yet."""
        return next((name for name, (state, _) in self.disputes.items() if state in (*UNDECIDED, "RESOLVING")), None)


@dataclass(frozen=True)
class Wish:
    """A command with what it is about: the milestone (of per-milestone orders, and for its delivery) or the dispute."""

    command: str
    index: int | None = None
    dispute_id: str = ""


@dataclass(frozen=True)
class Verdict:
    """``DONE`` at once, ``BEGUN`` as a new operation, ``KNOWN`` with the operation that is the answer, or the code of a refusal."""

    outcome: str
    operation_id: str = ""
    current: str = ""
    allowed: tuple[str, ...] = ()


Rule = Callable[[Moment, Wish], Verdict | None]
DONE, BEGUN = Verdict("DONE"), Verdict("BEGUN")


def judge(moment: Moment, wish: Wish) -> Verdict:
    rules, otherwise = RULES[wish.command]
    spoken = (rule(moment, wish) for rule in rules)
    return next((verdict for verdict in spoken if verdict is not None), otherwise)


def _needs(*states: str) -> Rule:
    return lambda moment, _: None if moment.state in states else _refused(moment.state, states)


def _code(code: str, applies: Callable[[Moment], bool]) -> Rule:
    return lambda moment, _: Verdict(code) if applies(moment) else None


def _harmless(applies: Callable[[Moment], bool]) -> Rule:
    return lambda moment, _: DONE if applies(moment) else None


def _first(kind: str, is_done: Callable[[Moment, int | None], bool] = lambda _moment, _index: False) -> Rule:
    """The operation of this kind that runs is the answer, and so is the last one once what it does is done."""

    def rule(moment: Moment, wish: Wish) -> Verdict | None:
        same = [one for one in moment.operations if (one.kind, one.index) == (kind, wish.index)]
        found = [one for one in same if one.runs or is_done(moment, wish.index)]
        return Verdict("KNOWN", found[-1].id) if found else None

    return rule


def _idle(moment: Moment, _wish: Wish) -> Verdict | None:
    return _refused(moment.state, (moment.state,)) if moment.running else None


def _milestone(*states: str) -> Rule:
    def rule(moment: Moment, wish: Wish) -> Verdict | None:
        state = None if wish.index is None else moment.milestones[wish.index]
        return None if state is None or state in states else _refused(state, states)

    return rule


def _dispute(*states: str) -> Rule:
    def rule(moment: Moment, wish: Wish) -> Verdict | None:
        state = moment.disputes[wish.dispute_id][0]
        return None if state in states else _refused(state, states)

    return rule


def _frozen(moment: Moment, wish: Wish) -> Verdict | None:
    return None if moment.disputes[wish.dispute_id][1] else Verdict("ESCROW_NOT_READY")


def _refused(current: str, allowed: tuple[str, ...]) -> Verdict:
    return Verdict("INVALID_STATE", current=current, allowed=allowed)


def _milestone_is(state: str) -> Callable[[Moment, int | None], bool]:
    return lambda moment, index: index is not None and moment.milestones[index] == state


def _is_refunded(moment: Moment, index: int | None) -> bool:
    return moment.final_status == "REFUNDED" if index is None else moment.milestones[index] == "REFUNDED"


def _is_released(moment: Moment, _index: int | None) -> bool:
    return moment.final_status == "RELEASED" and not moment.is_per_milestone


_NO_ESCROW = _code("ESCROW_NOT_FOUND", lambda moment: moment.escrow is None)
_HAS_ESCROW = _code("ESCROW_ALREADY_EXISTS", lambda moment: moment.escrow is not None)
_HAD_MONEY = _code("ESCROW_ALREADY_FUNDED", lambda moment: moment.escrow not in ("CREATING", "CREATED", "FUNDING", "ABANDONED"))
_BEING_MADE = _code("ESCROW_NOT_READY", lambda moment: moment.state == "ESCROW_CREATING")
_BY_PARTS = _code("VALIDATION_ERROR", lambda moment: moment.is_per_milestone)
_AS_A_WHOLE = _code("VALIDATION_ERROR", lambda moment: not moment.is_per_milestone)
_UNDISPUTED = _code("DISPUTE_ALREADY_OPEN", lambda moment: moment.undecided is not None)
_RESERVED = _code("FUNDS_ALREADY_RESERVED", lambda moment: moment.state == "FUNDS_RESERVED")
_CANCELED = _harmless(lambda moment: moment.final_status == "CANCELED")
_ABANDONED = _harmless(lambda moment: moment.escrow == "ABANDONED")
_IN_PROGRESS = _needs("IN_PROGRESS")


def _no_release_comes(moment: Moment, _wish: Wish) -> Verdict | None:
    return None if moment.will_release else _refused(moment.state, ("IN_PROGRESS",))


_COMPLETED_FIRST = _first("milestone_completion", _milestone_is("COMPLETED"))
_RELEASED_FIRST = _first("milestone_release", _milestone_is("RELEASED"))
RULES: Mapping[str, tuple[tuple[Rule, ...], Verdict]] = {
    "reserve": ((_RESERVED, _needs("ORDER_CREATED")), DONE),
    "cancel": ((_CANCELED, _needs("ORDER_CREATED", "FUNDS_RESERVED")), DONE),
    "escrow": ((_first("escrow_creation"), _HAS_ESCROW, _needs("FUNDS_RESERVED")), BEGUN),
    "fund": ((_first("escrow_funding"), _NO_ESCROW, _HAD_MONEY, _BEING_MADE, _needs("ESCROW_FUNDING"), _idle), BEGUN),
    "checkout": ((_first("checkout"), _HAS_ESCROW, _needs("ORDER_CREATED", "FUNDS_RESERVED")), BEGUN),
    "abandon": ((_ABANDONED, _NO_ESCROW, _needs("ESCROW_FUNDING"), _idle), DONE),
    "complete": ((_COMPLETED_FIRST, _IN_PROGRESS, _idle, _milestone("OPEN")), BEGUN),
    "release milestone": ((_AS_A_WHOLE, _RELEASED_FIRST, _IN_PROGRESS, _milestone(*UNSETTLED), _idle), BEGUN),
    "extend": ((_IN_PROGRESS, _no_release_comes), DONE),
    "release": ((_first("release", _is_released), _BY_PARTS, _IN_PROGRESS, _idle), BEGUN),
    "refund": ((_first("refund", _is_refunded), _IN_PROGRESS, _idle, _UNDISPUTED, _milestone(*UNSETTLED)), BEGUN),
    "dispute": ((_UNDISPUTED, _IN_PROGRESS, _idle, _milestone(*UNSETTLED, "DISPUTED")), BEGUN),
    "assign": ((_dispute(*UNDECIDED),), DONE),
    "evidence": ((_dispute(*UNDECIDED, "RESOLVING"),), DONE),
    "message": ((_dispute(*UNDECIDED, "RESOLVING"),), DONE),
    "resolve": ((_dispute(*UNDECIDED), _frozen, _idle), BEGUN),
}
