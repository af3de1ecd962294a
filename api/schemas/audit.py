"""The audit log's query and entries."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from api.schemas.answers import PageQuery
from api.schemas.fields import Id, RequestedTime, Shape, Time

_Name = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,64}(\.[a-z_]{1,64})?$")]


class AuditQuery(PageQuery):
    """``from`` is included, ``to`` is not. An export has no ``limit``, and its ``cursor`` is the last entry of the export before it."""

    prefix = "aud"
    resource_type: _Name | None = None
    resource_id: Id | None = None
    action: _Name | None = None
    user_id: Id | None = None
    actor_id: Id | None = None
    since: RequestedTime | None = Field(default=None, alias="from")
    until: RequestedTime | None = Field(default=None, alias="to")


class AuditLogEntry(Shape):
    """``userIds`` are the users it is about. ``sequence``, ``previousHash`` and ``hash`` are null for the moment between the commit and
    the seal.
    """

    id: str
    sequence: int | None
    action: str
    resource_type: str
    resource_id: str
    actor_id: str
    user_ids: list[str]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    correlation_id: str
    occurred_at: Time
    previous_hash: str | None
    hash: str | None
