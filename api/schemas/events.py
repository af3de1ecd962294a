"""The event stream's query and envelope."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.fields import Body, Id, Shape, Time
from offerhub.domain.events import CATALOGUE

_TYPE = re.compile(r"[a-z_]+\.(?:\*|[a-z_]+)|\*", re.ASCII)
AGGREGATES = {definition.aggregate.lower(): definition.aggregate for definition in CATALOGUE.values()}


def _check_types(value: str) -> str:
    for name in listed(value):
        if not _TYPE.fullmatch(name):
            raise ValueError(f"{name!r} is not an event type")
    return value


def _check_aggregates(value: str) -> str:
    for name in listed(value):
        if name.lower() not in AGGREGATES:
            raise ValueError(f"{name!r} is not one of {', '.join(sorted(AGGREGATES.values()))}")
    return value


def listed(value: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",")) if value else ()


class EventQuery(Body):
    """``types`` and ``resourceTypes`` are comma separated; a type may be ``order.*``, a resource type is an ``aggregateType`` in any case.

    ``cursor`` is an event id or a time.
    """

    types: Annotated[str, StringConstraints(max_length=1000), AfterValidator(_check_types)] | None = None
    resource_types: Annotated[str, StringConstraints(max_length=200), AfterValidator(_check_aggregates)] | None = None
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
