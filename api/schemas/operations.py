"""Operations: what was asked of the chain and how far it got."""

from __future__ import annotations

from typing import Any, Literal

from api.schemas.answers import PageQuery
from api.schemas.fields import Id, Shape, Time
from offerhub.domain.plans import OperationKind

OperationStatusName = Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]


class OperationError(Shape):
    code: str
    message: str
    details: dict[str, Any]


class Operation(Shape):
    id: str
    kind: OperationKind
    resource_type: str
    resource_id: str
    status: OperationStatusName
    workflow_id: str
    transaction_hashes: list[str]
    error: OperationError | None
    created_at: Time | None
    updated_at: Time | None
    finished_at: Time | None


class OperationQuery(PageQuery):
    prefix = "op"
    resource_id: Id | None = None
    status: OperationStatusName | None = None
