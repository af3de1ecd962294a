"""The form in which an event leaves the house (``model.md`` §4), and the one in which it travels through Redis."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import orjson

from offerhub.domain.times import iso
from offerhub.storage.events import EventFilter, EventRecord


def envelope(record: EventRecord) -> dict[str, Any]:
    return {
        "eventId": record.id,
        "eventType": record.type,
        "occurredAt": iso(record.occurred_at),
        "position": record.position,
        "aggregateId": record.aggregate_id,
        "aggregateType": record.aggregate_type,
        "payload": record.payload,
        "metadata": record.metadata,
    }


def pack(record: EventRecord) -> bytes:
    return orjson.dumps(record)


def unpack(packed: bytes) -> EventRecord:
    row = orjson.loads(packed)
    return EventRecord(**{**row, "occurred_at": datetime.fromisoformat(row["occurred_at"])})


def matches(record: EventRecord, wanted: EventFilter) -> bool:
    """The same decision as the query of ``storage.events.after``, for an event already in hand."""
    return (
        (not wanted.types or any(_type_matches(record.type, pattern) for pattern in wanted.types))
        and (not wanted.aggregate_types or record.aggregate_type in wanted.aggregate_types)
        and (wanted.aggregate_id is None or record.aggregate_id == wanted.aggregate_id)
        and (wanted.user_id is None or wanted.user_id in record.user_ids)
    )


def _type_matches(event_type: str, pattern: str) -> bool:
    return event_type.startswith(pattern[:-1]) if pattern.endswith("*") else event_type == pattern
