"""Webhook endpoints, their place in the event log, and the attempts to deliver."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from sqlalchemy import text

from offerhub.storage.events import EventFilter
from offerhub.storage.unit_of_work import Transaction

KEPT = timedelta(days=30)
_ENDPOINT = """id, url, description, event_types, enabled, disabled_reason, secret, previous_secret, previous_secret_until, position,
    failures, failing_since, next_try_at, created_at, updated_at"""
_INSERT = text(
    """
    INSERT INTO webhook_endpoints (id, url, description, event_types, enabled, secret, position, created_at, updated_at)
    VALUES (:id, :url, :description, :event_types, true, :secret, :position, :now, :now)
    """
)
_GET = text(f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = :id")  # noqa: S608
_LOCK = text(f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE id = :id FOR UPDATE")  # noqa: S608
_LIST = text(
    f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE CAST(:cursor AS text) IS NULL OR id < :cursor ORDER BY id DESC LIMIT :limit"  # noqa: S608
)
_ALL_ENABLED = text(f"SELECT {_ENDPOINT} FROM webhook_endpoints WHERE enabled ORDER BY id")  # noqa: S608
# Whoever makes one sees all that the others made, and waits for those who are making one.
_COUNT_LOCK = 0x0FFE_000A
_COUNT = text("SELECT count(*) AS number FROM webhook_endpoints")
_LOCK_COUNT = text("SELECT pg_advisory_xact_lock(:key)")
_UPDATE = text(
    """
    UPDATE webhook_endpoints SET url = :url, description = :description, event_types = :event_types, enabled = :enabled,
        disabled_reason = :disabled_reason, secret = :secret, previous_secret = :previous_secret,
        previous_secret_until = :previous_secret_until, position = :position, failures = :failures, failing_since = :failing_since,
        next_try_at = :next_try_at, updated_at = :now
    WHERE id = :id
    """
)
_DELETE = text("DELETE FROM webhook_endpoints WHERE id = :id")
# What is skipped was not wanted by the filter it was read with.
_SKIP = text("UPDATE webhook_endpoints SET position = :position WHERE id = :id AND event_types = :event_types AND position < :position")

_DELIVERY = """d.id, d.endpoint_id, d.event_id, e.type AS event_type, d.trigger, d.status, d.response_status, d.response_body, d.error,
    d.duration_ms, d.created_at, d.finished_at"""
_DELIVERIES = text(
    f"""
    SELECT {_DELIVERY} FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
    WHERE d.endpoint_id = :endpoint_id AND (CAST(:cursor AS text) IS NULL OR d.id < :cursor)
      AND (CAST(:status AS text) IS NULL OR d.status = :status)
      AND (CAST(:event_id AS text) IS NULL OR d.event_id = :event_id)
    ORDER BY d.id DESC LIMIT :limit
    """  # noqa: S608
)
_DELIVERY_OF_ID = text(f"SELECT {_DELIVERY} FROM webhook_deliveries d JOIN events e ON e.id = d.event_id WHERE d.id = :id")  # noqa: S608
_NEXT_PENDING = text(
    f"""
    SELECT {_DELIVERY} FROM webhook_deliveries d JOIN events e ON e.id = d.event_id
    WHERE d.endpoint_id = :endpoint_id AND d.status = 'PENDING' ORDER BY d.id LIMIT 1
    """  # noqa: S608
)
_INSERT_DELIVERY = text(
    """
    INSERT INTO webhook_deliveries (id, endpoint_id, event_id, trigger, status, response_status, response_body, error, duration_ms,
                                    created_at, finished_at)
    VALUES (:id, :endpoint_id, :event_id, :trigger, :status, :response_status, :response_body, :error, :duration_ms,
            :created_at, :finished_at)
    """
)
_FINISH = text(
    """
    UPDATE webhook_deliveries SET status = :status, response_status = :response_status, response_body = :response_body, error = :error,
        duration_ms = :duration_ms, finished_at = :now
    WHERE id = :id AND status = 'PENDING'
    """
)
_PURGE = text("DELETE FROM webhook_deliveries WHERE created_at < :before")


@dataclass(frozen=True)
class EndpointRecord:
    """``secret`` and ``previous_secret`` are sealed. ``failures`` and what follows are about the first event after ``position``."""

    id: str
    url: str
    description: str | None
    event_types: list[str]
    enabled: bool
    secret: bytes = field(repr=False)
    position: int
    disabled_reason: str | None = None
    previous_secret: bytes | None = field(default=None, repr=False)
    previous_secret_until: datetime | None = None
    failures: int = 0
    failing_since: datetime | None = None
    next_try_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def wanted(self) -> EventFilter:
        return EventFilter(types=tuple(self.event_types))

    def sealed_secrets(self, now: datetime) -> list[bytes]:
        """Those that sign now, the newest first."""
        if self.previous_secret is None or self.previous_secret_until is None or self.previous_secret_until <= now:
            return [self.secret]
        return [self.secret, self.previous_secret]


@dataclass(frozen=True)
class DeliveryRecord:
    """One attempt. ``response_status`` is None when there was no answer; ``error`` is a sentence."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    trigger: str
    status: str
    response_status: int | None = None
    response_body: str | None = None
    error: str | None = None
    duration_ms: int | None = None
    created_at: datetime | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True)
class DeliveryFilter:
    endpoint_id: str
    status: str | None = None
    event_id: str | None = None


async def insert(transaction: Transaction, endpoint: EndpointRecord) -> None:
    names = ("id", "url", "description", "event_types", "secret", "position")
    await transaction.run(_INSERT, **{name: getattr(endpoint, name) for name in names}, now=transaction.now)


async def count(transaction: Transaction) -> int:
    """Exact until the transaction ends: nobody else adds one meanwhile."""
    await transaction.run(_LOCK_COUNT, key=_COUNT_LOCK)
    row = await transaction.first(_COUNT)
    return int(row["number"]) if row else 0


async def get(transaction: Transaction, endpoint_id: str) -> EndpointRecord | None:
    row = await transaction.first(_GET, id=endpoint_id)
    return EndpointRecord(**row) if row else None


async def lock(transaction: Transaction, endpoint_id: str) -> EndpointRecord | None:
    """As it is now, locked until the transaction ends."""
    row = await transaction.first(_LOCK, id=endpoint_id)
    return EndpointRecord(**row) if row else None


async def page(transaction: Transaction, cursor: str | None, limit: int) -> list[EndpointRecord]:
    return [EndpointRecord(**row) for row in await transaction.rows(_LIST, cursor=cursor, limit=limit)]


async def all_enabled(transaction: Transaction) -> list[EndpointRecord]:
    return [EndpointRecord(**row) for row in await transaction.rows(_ALL_ENABLED)]


async def update(transaction: Transaction, endpoint: EndpointRecord) -> None:
    """Write a locked endpoint back."""
    values = {name: value for name, value in vars(endpoint).items() if name not in {"created_at", "updated_at"}}
    if await transaction.run(_UPDATE, **values, now=transaction.now) != 1:
        raise RuntimeError(f"webhook endpoint {endpoint.id} changed under its lock")


async def delete(transaction: Transaction, endpoint_id: str) -> None:
    await transaction.run(_DELETE, id=endpoint_id)


async def skip_to(transaction: Transaction, endpoint: EndpointRecord, position: int) -> None:
    """Move the cursor over events that the endpoint does not want."""
    await transaction.run(_SKIP, id=endpoint.id, event_types=endpoint.event_types, position=position)


async def deliveries(transaction: Transaction, wanted: DeliveryFilter, cursor: str | None, limit: int) -> list[DeliveryRecord]:
    """Newest first, from after ``cursor``."""
    return [DeliveryRecord(**row) for row in await transaction.rows(_DELIVERIES, **vars(wanted), cursor=cursor, limit=limit)]


async def delivery(transaction: Transaction, delivery_id: str) -> DeliveryRecord | None:
    row = await transaction.first(_DELIVERY_OF_ID, id=delivery_id)
    return DeliveryRecord(**row) if row else None


async def next_pending(transaction: Transaction, endpoint_id: str) -> DeliveryRecord | None:
    """What somebody asked first to have delivered again."""
    row = await transaction.first(_NEXT_PENDING, endpoint_id=endpoint_id)
    return DeliveryRecord(**row) if row else None


async def insert_delivery(transaction: Transaction, record: DeliveryRecord) -> None:
    await transaction.run(_INSERT_DELIVERY, **{name: value for name, value in vars(record).items() if name != "event_type"})


async def finish_delivery(transaction: Transaction, record: DeliveryRecord) -> bool:
    """False when it is finished already."""
    names = ("id", "status", "response_status", "response_body", "error", "duration_ms")
    return await transaction.run(_FINISH, **{name: getattr(record, name) for name in names}, now=transaction.now) == 1


async def purge(transaction: Transaction) -> int:
    """Forget attempts that are older than ``KEPT``."""
    return await transaction.run(_PURGE, before=transaction.now - KEPT)
