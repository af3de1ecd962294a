"""The timeline of an order."""

from __future__ import annotations

from typing import Any, Literal

from api.schemas.fields import Shape, Time
from api.schemas.orders import Order


class TimelineItem(Shape):
    """``kind`` says where it comes from and what ``data`` holds: an event (its type and payload), a posting of the ledger with its
    entries, a transaction (one signed envelope with hash, ledger and outcome), an operation, or a message of a dispute.
    """

    time: Time
    kind: Literal["event", "ledger", "transaction", "operation", "message"]
    summary: str
    data: dict[str, Any]


class OrderWithTimeline(Order):
    """``timeline`` has the newest 500 items, oldest of them first."""

    timeline: list[TimelineItem]
