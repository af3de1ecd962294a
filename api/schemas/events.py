"""The event stream's query and envelope."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.fields import Body, Id, Shape, Time

_TYPE = re.compile(r"[a-z_]+\.(?:\*|[a-z_]+)|\*", re.ASCII)
_AGGREGATE = re.compile(r"[A-Za-z]{1,40}", re.ASCII)


def _listed(pattern: re.Pattern[str]) -> AfterValidator:
    def check(value: str) -> str:
        for name in value.split(","):
            if not pattern.fullmatch(name.strip()):
                raise ValueError(f"{name.strip()!r} is not one")
        return value

    return AfterValidator(check)


class EventQuery(Body):
    """``types`` and ``resourceTypes`` are comma separated; a type may be ``order.*``. ``cursor`` is an event id or a time."""

    types: Annotated[str, StringConstraints(max_length=1000), _listed(_TYPE)] | None = None
    resource_types: Annotated[str, StringConstraints(max_length=200), _listed(_AGGREGATE)] | None = None
    resource_id: Id | None = None
    user_id: Id | None = None
    cursor: Id | None = None
    limit: int = Field(default=20, ge=1, le=100)


class Event(Shape):
    event_id: str
    event_type: str
    occurred_at: Time
    position: int
    aggregate_id: str
    aggregate_type: str
    payload: dict[str, Any]
    metadata: dict[str, Any]
