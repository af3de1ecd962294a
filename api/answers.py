"""The shapes of success: one resource, a list, a resource readable at the top level as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson
from fastapi import Response

API_PREFIX = "/api/v1"
Row = TypeVar("Row")


@dataclass(frozen=True)
class Answer:
    """What will be sent.

    ``operation_id`` marks a promise whose outcome will replace it; ``kept_body`` is what a replay shows where ``body`` holds a secret.
    """

    status: int
    body: Mapping[str, Any]
    location: str | None = None
    operation_id: str | None = None
    kept_body: Mapping[str, Any] | None = None
    replayed: bool = False

    def response(self) -> Response:
        headers = {"Location": self.location} if self.location else {}
        if self.replayed:
            headers["Idempotent-Replayed"] = "true"
        return Response(orjson.dumps(self.body), self.status, headers, "application/json")


def success(data: object) -> dict[str, Any]:
    return {"success": True, "data": data}


def ok(data: object) -> Response:
    return Answer(200, success(data)).response()


def bare(data: Mapping[str, Any]) -> dict[str, Any]:
    """For the resources that existing clients read bare: the same fields beside ``data`` and inside it."""
    return {**data, **success(data)}


def at_top_level(data: Mapping[str, Any]) -> Response:
    return Answer(200, bare(data)).response()


def page(rows: Sequence[Row], limit: int, present: Callable[[Row], Mapping[str, Any]], id_field: str = "id") -> Response:
    """A list from ``limit + 1`` rows read: the one too many only says that there is more."""
    data = [present(row) for row in rows[:limit]]
    has_more = len(rows) > limit
    next_cursor = data[-1][id_field] if has_more else None
    return Answer(200, {**success(data), "hasMore": has_more, "nextCursor": next_cursor}).response()
