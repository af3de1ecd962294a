"""The envelopes around every answer."""

from __future__ import annotations

from typing import Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, field_validator

from api.schemas.fields import Body, Id, Shape
from offerhub.domain.errors import ErrorCode

Data = TypeVar("Data")


class One(Shape, Generic[Data]):
    success: Literal[True] = True
    data: Data


class Page(Shape, Generic[Data]):
    """Newest first. ``nextCursor`` is the last id of this page when there are more."""

    success: Literal[True] = True
    data: list[Data]
    has_more: bool
    next_cursor: str | None


class ErrorBody(Shape):
    """More codes may come; ``details`` depends on the code. ``docs`` is an address below the API's own origin."""

    code: ErrorCode
    message: str
    details: dict[str, Any]
    request_id: str
    docs: str


class ErrorAnswer(Shape):
    error: ErrorBody


class PageQuery(Body):
    """``cursor`` is the last id already seen. One of another kind would be answered with some page or none, as if all had been read."""

    prefix: ClassVar[str]
    limit: int = Field(default=20, ge=1, le=100)
    cursor: Id | None = None

    @field_validator("cursor")
    @classmethod
    def _is_of_this_list(cls, cursor: str | None) -> str | None:
        if cursor is not None and not cursor.startswith(f"{cls.prefix}_"):
            raise ValueError(f"the ids of this list begin with {cls.prefix}_")
        return cursor
