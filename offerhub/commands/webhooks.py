"""Webhook endpoints: registered, changed, their secrets rotated; and what became of each attempt to deliver an event to one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from offerhub.domain import ids
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.messages import WebhookInput
from offerhub.domain.times import iso
from offerhub.domain.webhooks import GONE, MOST_ENDPOINTS, Attempt, RetrySchedule
from offerhub.storage import events, webhooks
from offerhub.storage.events import EventRecord
from offerhub.storage.unit_of_work import Transaction, WorkflowMessage, new_id
from offerhub.storage.webhooks import DeliveryRecord, EndpointRecord
from offerhub.stream.webhook_secrets import WebhookSecrets

WEBHOOK_WORKFLOW = "WebhookDelivery"
LOOK = "look"
_PRIORITY = 5


@dataclass(frozen=True)
class Wish:
    """What the marketplace says of an endpoint."""

    url: str
    event_types: tuple[str, ...]
    description: str | None = None
    enabled: bool = True


@dataclass(frozen=True)
class WithSecret:
    """An endpoint and its new secret, for this once."""

    endpoint: EndpointRecord
    secret: str = field(repr=False)


async def create_endpoint(transaction: Transaction, wish: Wish, keeper: WebhookSecrets) -> WithSecret:
    """Events from now on are delivered. Raises ``LIMIT_EXCEEDED``."""
    if await webhooks.count(transaction) >= MOST_ENDPOINTS:
        raise DomainError(ErrorCode.LIMIT_EXCEEDED, f"There can be {MOST_ENDPOINTS} webhook endpoints.", {"maximum": MOST_ENDPOINTS})
    endpoint_id = new_id("whe")
    secret, sealed = keeper.make(endpoint_id)
    position = await events.latest_position(transaction)
    endpoint = EndpointRecord(endpoint_id, wish.url, wish.description, list(wish.event_types), True, sealed, position)
    await webhooks.insert(transaction, endpoint)
    _changed(transaction, "created", None, endpoint)
    return WithSecret(await get_endpoint(transaction, endpoint_id), secret)


async def update_endpoint(
    transaction: Transaction, endpoint_id: str, revise: Callable[[Wish], Wish], *, try_again: bool = False
) -> EndpointRecord:
    """``revise`` makes the new wish of the present one.

    Whatever changes but the description, a failing event is tried again at once and has its whole time before it again; with
    ``try_again`` also when nothing changes.

    Enabled again, it goes on where it stopped: nothing that happened meanwhile is left out.
    """
    endpoint = await _lock(transaction, endpoint_id)
    present = _wish_of(endpoint)
    wish = revise(present)
    starts_over = (try_again and endpoint.failures > 0) or replace(wish, description=None) != replace(present, description=None)
    if wish == present and not starts_over:
        return endpoint
    changed = replace(endpoint, url=wish.url, event_types=list(wish.event_types), description=wish.description, enabled=wish.enabled)
    if starts_over:
        changed = replace(changed, disabled_reason=None, failures=0, failing_since=None, next_try_at=None)
    await webhooks.update(transaction, changed)
    _changed(transaction, "updated", endpoint, changed)
    return await get_endpoint(transaction, endpoint_id)


async def rotate_secret(transaction: Transaction, endpoint_id: str, overlap: timedelta, keeper: WebhookSecrets) -> WithSecret:
    """The old secret signs beside the new one for as long as ``overlap``; one that was overlapping already is dropped."""
    endpoint = await _lock(transaction, endpoint_id)
    secret, sealed = keeper.make(endpoint_id)
    rotated = replace(endpoint, secret=sealed, previous_secret=None, previous_secret_until=None)
    if overlap:
        rotated = replace(rotated, previous_secret=endpoint.secret, previous_secret_until=transaction.now + overlap)
    await webhooks.update(transaction, rotated)
    _changed(transaction, "secret_rotated", endpoint, rotated)
    return WithSecret(await get_endpoint(transaction, endpoint_id), secret)


async def delete_endpoint(transaction: Transaction, endpoint_id: str) -> EndpointRecord:
    endpoint = await _lock(transaction, endpoint_id)
    await webhooks.delete(transaction, endpoint_id)
    _changed(transaction, "deleted", endpoint, None)
    return endpoint


async def request_redelivery(transaction: Transaction, delivery_id: str) -> DeliveryRecord:
    """One more attempt with the same event, soon and out of turn, whether the endpoint is enabled or not.

    Raises ``WEBHOOK_DELIVERY_NOT_FOUND``, and ``WEBHOOK_ENDPOINT_NOT_FOUND`` for a deleted endpoint.
    """
    known = await webhooks.delivery(transaction, delivery_id)
    if known is None:
        details = {"deliveryId": delivery_id[:64]}
        raise DomainError(ErrorCode.WEBHOOK_DELIVERY_NOT_FOUND, f"There is no webhook delivery {delivery_id[:64]}.", details)
    await _lock(transaction, known.endpoint_id)
    asked = DeliveryRecord(
        new_id("whd"), known.endpoint_id, known.event_id, known.event_type, "redelivery", "PENDING", created_at=transaction.now
    )
    await webhooks.insert_delivery(transaction, asked)
    payload = {"endpointId": asked.endpoint_id, "deliveryId": asked.id, "eventId": asked.event_id}
    transaction.emit(Event("webhook_endpoint.redelivery_requested", asked.endpoint_id, payload))
    transaction.audit("webhook_endpoint.redelivery_requested", ("webhook_endpoint", asked.endpoint_id), None, payload)
    _tell(transaction, asked.endpoint_id)
    return asked


async def book_delivery(
    transaction: Transaction, endpoint_id: str, event: EventRecord, attempt: Attempt, schedule: RetrySchedule
) -> EndpointRecord | None:
    """Write an attempt down and move the cursor, or decide when to try again, or that nobody will: then the endpoint is disabled.

    None when the endpoint was deleted meanwhile.
    """
    endpoint = await webhooks.lock(transaction, endpoint_id)
    if endpoint is None:
        return None
    started = transaction.now - timedelta(milliseconds=attempt.duration_ms)
    pending = DeliveryRecord(new_id("whd"), endpoint_id, event.id, event.type, "event", "PENDING", created_at=started)
    await webhooks.insert_delivery(transaction, replace(_with_answer(pending, attempt), finished_at=transaction.now))
    if event.position <= endpoint.position or not (attempt.succeeded or endpoint.enabled):
        return endpoint
    after = _delivered(endpoint, event) if attempt.succeeded else _failed(transaction, endpoint, attempt, schedule)
    await webhooks.update(transaction, after)
    return after


async def book_redelivery(transaction: Transaction, asked: DeliveryRecord, attempt: Attempt) -> None:
    """Whatever came of it, it is not tried again by itself, and the cursor stays where it is."""
    await webhooks.finish_delivery(transaction, _with_answer(asked, attempt))


async def get_endpoint(transaction: Transaction, endpoint_id: str) -> EndpointRecord:
    endpoint = await webhooks.get(transaction, endpoint_id)
    if endpoint is None:
        raise _not_found(endpoint_id)
    return endpoint


def _delivered(endpoint: EndpointRecord, event: EventRecord) -> EndpointRecord:
    return replace(endpoint, position=event.position, failures=0, failing_since=None, next_try_at=None)


def _failed(transaction: Transaction, endpoint: EndpointRecord, attempt: Attempt, schedule: RetrySchedule) -> EndpointRecord:
    failures, since = endpoint.failures + 1, endpoint.failing_since or transaction.now
    next_try_at = schedule.next_try(failures, since, transaction.now)
    failing = replace(endpoint, failures=failures, failing_since=since, next_try_at=next_try_at)
    if attempt.status == GONE:
        return _disable(transaction, failing, "The receiver answered 410 Gone.")
    if next_try_at is None:
        return _disable(transaction, failing, f"Nothing could be delivered since {since.isoformat(timespec='seconds')}: {attempt.error}")
    return failing


def _disable(transaction: Transaction, endpoint: EndpointRecord, reason: str) -> EndpointRecord:
    transaction.emit(Event("webhook_endpoint.disabled", endpoint.id, {"endpointId": endpoint.id, "reason": reason}))
    before, after = {"enabled": True}, {"enabled": False, "reason": reason}
    transaction.audit("webhook_endpoint.disabled", ("webhook_endpoint", endpoint.id), before, after)
    return replace(endpoint, enabled=False, disabled_reason=reason, next_try_at=None)


def _with_answer(record: DeliveryRecord, attempt: Attempt) -> DeliveryRecord:
    return replace(
        record,
        status="SUCCEEDED" if attempt.succeeded else "FAILED",
        response_status=attempt.status,
        response_body=attempt.body,
        error=attempt.error,
        duration_ms=attempt.duration_ms,
    )


def _changed(transaction: Transaction, what: str, before: EndpointRecord | None, after: EndpointRecord | None) -> None:
    """Event, audit entry, and word to the workflow, which may be asleep until the next try."""
    endpoint = after or before
    assert endpoint is not None, "something changed"
    name = f"webhook_endpoint.{what}"
    transaction.emit(Event(name, endpoint.id, {"endpointId": endpoint.id}))
    transaction.audit(name, ("webhook_endpoint", endpoint.id), _audited(before), _audited(after))
    _tell(transaction, endpoint.id)


def _tell(transaction: Transaction, endpoint_id: str) -> None:
    message = WorkflowMessage(WEBHOOK_WORKFLOW, ids.webhook_workflow_id(endpoint_id), LOOK, vars(WebhookInput(endpoint_id)), _PRIORITY)
    transaction.tell_workflow(message)


def _audited(endpoint: EndpointRecord | None) -> dict[str, object] | None:
    if endpoint is None:
        return None
    shown = {"url": endpoint.url, "description": endpoint.description, "eventTypes": endpoint.event_types, "enabled": endpoint.enabled}
    return {**shown, "failures": endpoint.failures, "previousSecretValidUntil": iso(endpoint.previous_secret_until)}


def _wish_of(endpoint: EndpointRecord) -> Wish:
    return Wish(endpoint.url, tuple(endpoint.event_types), endpoint.description, endpoint.enabled)


async def _lock(transaction: Transaction, endpoint_id: str) -> EndpointRecord:
    endpoint = await webhooks.lock(transaction, endpoint_id)
    if endpoint is None:
        raise _not_found(endpoint_id)
    return endpoint


def _not_found(endpoint_id: str) -> DomainError:
    details = {"endpointId": endpoint_id[:64]}
    return DomainError(ErrorCode.WEBHOOK_ENDPOINT_NOT_FOUND, f"There is no webhook endpoint {endpoint_id[:64]}.", details)
