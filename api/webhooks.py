"""Webhook endpoints: where events are sent, with which secret they are signed, and what became of each delivery."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Annotated, Any

from fastapi import Query, Response

from api import idempotency, present, problems
from api.answers import API_PREFIX, Answer, ok, page, success
from api.auth import Scope
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.fields import NoBody
from api.schemas.webhooks import (
    CreateWebhookEndpointBody,
    DeliveryQuery,
    NewWebhookEndpoint,
    RotateSecretBody,
    UpdateWebhookEndpointBody,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookEndpointQuery,
)
from offerhub.commands.webhooks import (
    Wish,
    WithSecret,
    create_endpoint,
    delete_endpoint,
    get_endpoint,
    request_redelivery,
    rotate_secret,
    update_endpoint,
)
from offerhub.domain.errors import ErrorCode
from offerhub.domain.webhooks import TargetRefused
from offerhub.storage import webhooks
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.webhooks import DeliveryFilter
from offerhub.stream.webhook_sending import check_target

routes = Routes("Webhooks")
_C = ErrorCode
_UNKNOWN = (_C.WEBHOOK_ENDPOINT_NOT_FOUND,)
_PATH = "/webhook-endpoints/{endpoint_id}"
_CREATE = Documented("Register a webhook endpoint", One[NewWebhookEndpoint], 201, errors=(_C.LIMIT_EXCEEDED,))
_ROTATE = Documented("Make a new signing secret", One[NewWebhookEndpoint], errors=_UNKNOWN)
_REDELIVER = Documented("Deliver an event again", One[WebhookDelivery], 202, errors=(_C.WEBHOOK_DELIVERY_NOT_FOUND, *_UNKNOWN))


@routes.post("/webhook-endpoints", Scope.WRITE, _CREATE)
async def create_webhook_endpoint(call: CurrentCall, body: CreateWebhookEndpointBody) -> Response:
    """Events from now on are sent to `url` as signed POSTs (Standard Webhooks), one after the other in the order of `position`.

    The URL must be https:// on the public internet. `secret` is in this answer only; a replay of the request has null there.
    """
    kept = await idempotency.kept(call)
    if kept is not None:
        return kept.response()
    await _check_target(call, body.url)
    wish = Wish(body.url, tuple(dict.fromkeys(body.event_types)), body.description)

    async def work(transaction: Transaction) -> Answer:
        created = await create_endpoint(transaction, wish, call.services.webhook_secrets)
        return _with_secret(created, 201)

    return (await idempotency.run(call, work)).response()


@routes.get("/webhook-endpoints", Scope.READ, Documented("List webhook endpoints", Page[WebhookEndpoint]))
async def list_webhook_endpoints(call: CurrentCall, query: Annotated[WebhookEndpointQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        found = await webhooks.page(reader, query.cursor, query.limit + 1)
    return page(found, query.limit, present.webhook_endpoint)


@routes.get(_PATH, Scope.READ, Documented("Read a webhook endpoint", One[WebhookEndpoint], errors=_UNKNOWN))
async def get_webhook_endpoint(call: CurrentCall, endpoint_id: str) -> Response:
    async with call.services.database.reading() as reader:
        return ok(present.webhook_endpoint(await get_endpoint(reader, endpoint_id)))


@routes.patch(_PATH, Scope.WRITE, Documented("Change a webhook endpoint", One[WebhookEndpoint], errors=_UNKNOWN))
async def update_webhook_endpoint(call: CurrentCall, endpoint_id: str, body: UpdateWebhookEndpointBody) -> Response:
    """Enabled again, an endpoint goes on where it stopped; to begin with the present, register a new one. `enabled: true` on one that is
    failing has the event it fails at tried again at once, with its three days before it.
    """
    kept = await idempotency.kept(call)
    if kept is not None:
        return kept.response()
    if body.url is not None:
        await _check_target(call, body.url)
    changes = _changes(body)

    async def work(transaction: Transaction) -> Answer:
        updated = await update_endpoint(transaction, endpoint_id, lambda wish: replace(wish, **changes), try_again=body.enabled is True)
        return Answer(200, success(present.webhook_endpoint(updated)))

    return (await idempotency.run(call, work)).response()


@routes.delete(_PATH, Scope.WRITE, Documented("Delete a webhook endpoint", One[WebhookEndpoint], errors=_UNKNOWN))
async def delete_webhook_endpoint(call: CurrentCall, endpoint_id: str, _body: NoBody | None = None) -> Response:
    """Answers with the endpoint as it was. A delivery under way may still arrive."""

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.webhook_endpoint(await delete_endpoint(transaction, endpoint_id))))

    return (await idempotency.run(call, work)).response()


@routes.post(f"{_PATH}/rotate-secret", Scope.WRITE, _ROTATE)
async def rotate_webhook_secret(call: CurrentCall, endpoint_id: str, body: RotateSecretBody | None = None) -> Response:
    """`secret` is in this answer only. The old one signs too for `overlapSeconds` (default a day); 0 ends it at once."""
    overlap = timedelta(seconds=(body or RotateSecretBody()).overlap_seconds)

    async def work(transaction: Transaction) -> Answer:
        return _with_secret(await rotate_secret(transaction, endpoint_id, overlap, call.services.webhook_secrets), 200)

    return (await idempotency.run(call, work)).response()


@routes.get(f"{_PATH}/deliveries", Scope.READ, Documented("List an endpoint's deliveries", Page[WebhookDelivery], errors=_UNKNOWN))
async def list_webhook_deliveries(call: CurrentCall, endpoint_id: str, query: Annotated[DeliveryQuery, Query()]) -> Response:
    """Every attempt of the last 30 days, newest first. One that a crash cut off is not among them; the event was sent again."""
    async with call.services.database.reading() as reader:
        await get_endpoint(reader, endpoint_id)
        wanted = DeliveryFilter(endpoint_id, query.status, query.event_id)
        found = await webhooks.deliveries(reader, wanted, query.cursor, query.limit + 1)
    return page(found, query.limit, present.webhook_delivery)


@routes.post("/webhook-deliveries/{delivery_id}/redeliver", Scope.WRITE, _REDELIVER)
async def redeliver_webhook(call: CurrentCall, delivery_id: str, _body: NoBody | None = None) -> Response:
    """One more attempt at once, out of turn, also for a disabled endpoint. Answers with the new delivery; it is not retried by itself."""

    async def work(transaction: Transaction) -> Answer:
        asked = await request_redelivery(transaction, delivery_id)
        location = f"{API_PREFIX}/webhook-endpoints/{asked.endpoint_id}/deliveries"
        return Answer(202, success(present.webhook_delivery(asked)), location)

    return (await idempotency.run(call, work)).response()


async def _check_target(call: Call, url: str) -> None:
    try:
        await check_target(url, allow_private=call.services.settings.allows_private_webhooks)
    except TargetRefused as refused:
        raise problems.invalid([("url", str(refused))]) from None


def _changes(body: UpdateWebhookEndpointBody) -> dict[str, Any]:
    sent = body.model_dump(exclude_unset=True)
    changes = {name: value for name, value in sent.items() if value is not None or name == "description"}
    if "event_types" in changes:
        changes["event_types"] = tuple(dict.fromkeys(changes["event_types"]))
    return changes


def _with_secret(made: WithSecret, status: int) -> Answer:
    shown = present.webhook_endpoint(made.endpoint)
    location = f"{API_PREFIX}/webhook-endpoints/{made.endpoint.id}" if status == 201 else None
    return Answer(status, success({**shown, "secret": made.secret}), location, kept_body=success({**shown, "secret": None}))
