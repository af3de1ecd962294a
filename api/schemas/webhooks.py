"""Webhook endpoints and their deliveries."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.answers import PageQuery
from api.schemas.fields import Body, Description, Id, NullIs, Shape, Time
from offerhub.domain.events import CATALOGUE
from offerhub.domain.webhooks import LONGEST_URL

LONGEST_OVERLAP_S = 7 * 24 * 3600
_DAY_S = 24 * 3600
DeliveryStatus = Literal["PENDING", "SUCCEEDED", "FAILED"]


def _check_event_type(value: str) -> str:
    """A misspelt name would mean silence for ever."""
    matches = any(name.startswith(value[:-1]) for name in CATALOGUE) if value.endswith(".*") else value in {*CATALOGUE, "*"}
    if not matches:
        raise ValueError(f"{value!r} is not an event type")
    return value


EventType = Annotated[str, StringConstraints(min_length=1, max_length=64), AfterValidator(_check_event_type)]
EventTypes = Annotated[list[EventType], Field(min_length=1, max_length=100, examples=[["order.*", "withdrawal.completed"]])]
Url = Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_URL), Field(examples=["https://shop.example/webhooks"])]


class CreateWebhookEndpointBody(Body):
    """``eventTypes`` are names, ``order.*`` or ``*``; without any, every event is sent."""

    url: Url
    description: Description | None = None
    event_types: Annotated[EventTypes, NullIs(["*"])] = Field(default_factory=lambda: ["*"])


class UpdateWebhookEndpointBody(Body):
    """What is left out stays as it is; so does what is null, except for the description."""

    url: Url | None = None
    description: Description | None = None
    event_types: EventTypes | None = None
    enabled: Annotated[bool, Field(strict=True)] | None = None


class RotateSecretBody(Body):
    """For ``overlapSeconds`` every delivery carries two signatures, the new secret's and the old one's."""

    overlap_seconds: Annotated[int, Field(ge=0, le=LONGEST_OVERLAP_S, strict=True), NullIs(_DAY_S)] = _DAY_S


class WebhookEndpoint(Shape):
    """``position`` is the last one delivered. ``failures``, ``failingSince`` and ``nextTryAt`` are about the event after it."""

    id: str
    url: str
    description: str | None
    event_types: list[str]
    enabled: bool
    disabled_reason: str | None
    position: int
    failures: int
    failing_since: Time | None
    next_try_at: Time | None
    previous_secret_valid_until: Time | None
    created_at: Time
    updated_at: Time


class NewWebhookEndpoint(WebhookEndpoint):
    """``secret`` is shown once; a replay of the request answers null."""

    secret: str | None


class DeliveryQuery(PageQuery):
    prefix = "whd"
    status: DeliveryStatus | None = None
    event_id: Id | None = None


class WebhookDelivery(Shape):
    """One attempt. ``responseStatus`` is null when there was no answer; ``error`` says why it failed."""

    id: str
    endpoint_id: str
    event_id: str
    event_type: str
    trigger: Literal["event", "redelivery"]
    status: DeliveryStatus
    response_status: int | None
    response_body: str | None
    error: str | None
    duration_ms: int | None
    created_at: Time
    finished_at: Time | None


class WebhookEndpointQuery(PageQuery):
    prefix = "whe"
