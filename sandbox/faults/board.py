"""The faults in force, those used up, and how often each of them fired."""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sandbox.faults.kind import FaultKind, Lasting, Occasion, Scoped

MAX_SPENT_KEPT = 1_000
K = TypeVar("K", bound=FaultKind)
L = TypeVar("L", bound=Lasting)
S = TypeVar("S", bound=Scoped)


class Fault(Generic[K]):
    def __init__(self, name: str, kind: K) -> None:
        self.id = f"flt_{secrets.token_hex(6)}"
        self.name = name
        self.kind = kind
        self.fired = 0
        self.chance = random.Random(getattr(kind, "seed", 0))  # noqa: S311 (repeatable on purpose)

    @property
    def spent(self) -> bool:
        limit: int | None = getattr(self.kind, "next", None)
        return limit is not None and self.fired >= limit

    def document(self) -> dict[str, Any]:
        settings = self.kind.model_dump(by_alias=True, exclude_none=True)
        return {"id": self.id, "kind": self.name, **settings, "fired": self.fired, "active": not self.spent}


class FaultBoard:
    """Earlier faults come first: of several that cover an occasion the oldest takes it."""

    def __init__(self) -> None:
        self.active: list[Fault[Any]] = []
        self.spent: deque[Fault[Any]] = deque(maxlen=MAX_SPENT_KEPT)
        self.on_change: list[Callable[[], None]] = []

    def add(self, name: str, kind: FaultKind) -> Fault[Any]:
        fault: Fault[Any] = Fault(name, kind)
        self.active.append(fault)
        self._changed()
        return fault

    def remove(self, fault_id: str | None) -> list[Fault[Any]]:
        """Forget one fault, or all of them; answers those that were there."""
        everything = [*self.active, *self.spent]
        removed = [fault for fault in everything if fault_id in (None, fault.id)]
        self.active = [fault for fault in self.active if fault not in removed]
        self.spent = deque((fault for fault in self.spent if fault not in removed), maxlen=MAX_SPENT_KEPT)
        self._changed()
        return removed

    def any(self, kind: type[FaultKind]) -> bool:
        return any(isinstance(fault.kind, kind) for fault in self.active)

    def lasting(self, kind: type[L]) -> list[Fault[L]]:
        return [fault for fault in self.active if isinstance(fault.kind, kind)]

    def strike(self, kind: type[S], occasion: Occasion, suits: Callable[[S], bool] | None = None) -> Fault[S] | None:
        """The fault that hits this occasion, counted as fired. Every call draws from a covering fault's chance."""
        for fault in self.active:
            settings = fault.kind
            if not isinstance(settings, kind) or (suits is not None and not suits(settings)) or not settings.covers(occasion):
                continue
            if fault.chance.random() < settings.probability:
                self._fire(fault)
                return fault
        return None

    def give_back(self, fault: Fault[Any]) -> None:
        """It found nothing it could spoil: it has not fired."""
        if fault in self.spent:
            self.spent.remove(fault)
            self.active.append(fault)
        fault.fired -= 1

    def _fire(self, fault: Fault[Any]) -> None:
        fault.fired += 1
        if fault.spent:
            self.active.remove(fault)
            self.spent.append(fault)

    def _changed(self) -> None:
        for notify in self.on_change:
            notify()
