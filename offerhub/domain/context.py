"""Who asked, and in whose train: what every event, audit entry and operation carries along."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Context:
    """``actor_id`` is an API key's id, ``master`` or ``system``; ``correlation_id`` is the request's ``X-Request-ID``."""

    actor_id: str
    correlation_id: str
    causation_id: str | None = None
    operation_id: str | None = None
    workflow_id: str | None = None
