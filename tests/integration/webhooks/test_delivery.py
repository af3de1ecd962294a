"""Events arrive: signed, in order, at least once, for as long as the receiver wants them."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count

import pytest
from sqlalchemy import text
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError

from activities import delivery
from activities.webhook_workflows import look_at_all_endpoints
from offerhub.commands.webhooks import delete_endpoint, request_redelivery, rotate_secret, update_endpoint
from offerhub.domain.ids import webhook_workflow_id
from offerhub.storage import webhooks
from offerhub.storage.webhooks import DeliveryRecord
from offerhub.stream.webhook_secrets import WebhookSecrets
from tests.integration.webhooks.conftest import Site
from tests.receiver import Received, Receiver, Reply

pytestmark = pytest.mark.slow


async def event_ids(site: Site, user_ids: list[str]) -> list[str]:
    async with site.database.reading() as reader:
        rows = await reader.rows(text("SELECT id, aggregate_id FROM events WHERE type = 'user.created'"))
    known = {row["aggregate_id"]: row["id"] for row in rows}
    return [known[user_id] for user_id in user_ids]


async def test_events_arrive_signed_in_order_and_are_listed(site: Site, receiver: Receiver) -> None:
    registered = await site.endpoint(receiver.url())
    made = await site.users(25)
    await receiver.until(lambda: len(receiver.took) == 25)
    assert receiver.ids == await event_ids(site, made)
    positions = [received.event["position"] for received in receiver.took]
    assert positions == sorted(positions)
    for received in receiver.took:
        assert received.is_signed_with(registered.secret)
        assert received.headers["content-type"] == "application/json"
        assert received.event["eventId"] == received.id
        assert set(received.event) == {
            *("eventId", "eventType", "occurredAt", "position", "aggregateId", "aggregateType", "payload", "metadata")
        }

    async def booked() -> bool:
        return (await site.look(registered.endpoint.id)).position == int(positions[-1])

    await site.until(booked)
    listed = await site.deliveries(registered.endpoint.id)
    assert [one.event_id for one in listed] == receiver.ids
    assert {(one.status, one.response_status, one.response_body, one.error, one.trigger) for one in listed} == {
        ("SUCCEEDED", 200, "ok", None, "event")
    }
    assert receiver.connections == 1


async def test_only_what_is_wanted_and_only_from_now_on(site: Site, receiver: Receiver) -> None:
    await site.users(3)
    registered = await site.endpoint(receiver.url(), "webhook_endpoint.*", "balance.*")
    await site.users(3)
    await receiver.until(lambda: len(receiver.took) == 1)
    async with site.command() as transaction:
        await update_endpoint(transaction, registered.endpoint.id, lambda wish: replace(wish, event_types=("user.created",)))
    (last,) = await site.users(1)
    await receiver.until(lambda: receiver.took[-1].event["aggregateId"] == last)
    types = [received.event["eventType"] for received in receiver.took]
    # The three users before the change are after the cursor, as nothing that was wanted came after them.
    assert types[0] == "webhook_endpoint.created"
    assert set(types[1:]) <= {"user.created", "webhook_endpoint.updated"}


async def test_a_failing_event_holds_up_the_next_until_it_is_taken(site: Site, receiver: Receiver) -> None:
    refusals = 3

    def refuse_the_first(received: Received) -> Reply:
        return Reply(503, b"later") if receiver.ids.count(received.id) <= refusals and received.id == receiver.ids[0] else Reply()

    receiver.reply = refuse_the_first
    registered = await site.endpoint(receiver.url())
    made = await site.users(5)
    await receiver.until(lambda: len(receiver.took) == 5 + refusals)
    expected = await event_ids(site, made)
    assert receiver.ids == [expected[0]] * refusals + expected
    bodies = {received.body for received in receiver.took if received.id == expected[0]}
    assert len(bodies) == 1, "every retry sends the same bytes"
    assert all(received.is_signed_with(registered.secret) for received in receiver.took)

    async def recovered() -> bool:
        endpoint = await site.look(registered.endpoint.id)
        return (endpoint.failures, endpoint.failing_since, endpoint.next_try_at) == (0, None, None)

    await site.until(recovered)
    listed = await site.deliveries(registered.endpoint.id)
    assert [(one.response_status, one.error) for one in listed[:4]] == [(503, "The receiver answered 503.")] * 3 + [(200, None)]


async def test_one_endpoint_that_fails_does_not_hold_up_another(site: Site, receiver: Receiver) -> None:
    receiver.reply = lambda received: Reply(500 if received.path == "/bad" else 200)
    await site.endpoint(receiver.url("/bad"))
    await site.endpoint(receiver.url("/good"))
    await site.users(3)
    await receiver.until(lambda: sum(received.path == "/good" for received in receiver.took) == 3)


async def test_what_never_succeeds_disables_the_endpoint_and_enabled_again_it_goes_on(restless_site: Site, receiver: Receiver) -> None:
    site = restless_site
    receiver.reply = lambda _: Reply(500)
    endpoint = (await site.endpoint(receiver.url())).endpoint
    made = await site.users(2)
    assert "Nothing could be delivered since" in await site.ended(endpoint.id)
    disabled = await site.look(endpoint.id)
    assert (disabled.enabled, disabled.next_try_at) == (False, None)
    assert "The receiver answered 500." in str(disabled.disabled_reason)
    expected = await event_ids(site, made)
    assert set(receiver.ids) == {expected[0]}
    assert await told_of(site, "webhook_endpoint.disabled", endpoint.id) == 1
    receiver.reply = lambda _: Reply()
    await site.users(1)
    receiver.took.clear()
    async with site.command() as transaction:
        await update_endpoint(transaction, endpoint.id, lambda wish: replace(wish, enabled=True))
    await receiver.until(lambda: len(receiver.took) == 3)
    assert receiver.ids[:2] == expected
    assert (await site.look(endpoint.id)).disabled_reason is None


async def test_one_that_waits_for_its_next_try_is_tried_at_once_when_asked(patient_site: Site, receiver: Receiver) -> None:
    site = patient_site
    receiver.reply = lambda _: Reply(500)
    endpoint = (await site.endpoint(receiver.url())).endpoint
    await site.users(1)

    async def waits() -> bool:
        return (await site.look(endpoint.id)).next_try_at is not None

    await site.until(waits)
    receiver.reply = lambda _: Reply()
    async with site.command() as transaction:
        asked = await update_endpoint(transaction, endpoint.id, lambda wish: wish, try_again=True)
    assert (asked.failures, asked.failing_since, asked.next_try_at) == (0, None, None)
    await receiver.until(lambda: len(receiver.took) == 2)
    assert len(set(receiver.ids)) == 1
    assert await told_of(site, "webhook_endpoint.updated", endpoint.id) == 1


async def told_of(site: Site, what: str, endpoint_id: str) -> int:
    """How many events there are; each has its audit entry."""
    numbers = []
    async with site.database.reading() as reader:
        for query in (
            "SELECT count(*) AS n FROM events WHERE type = :what AND aggregate_id = :id",
            "SELECT count(*) AS n FROM audit_log WHERE action = :what AND resource_id = :id",
        ):
            row = await reader.first(text(query), what=what, id=endpoint_id)
            numbers.append(row["n"] if row else 0)
    assert numbers[0] == numbers[1]
    return numbers[0]


async def test_gone_disables_at_once(site: Site, receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(410)
    endpoint = (await site.endpoint(receiver.url())).endpoint
    await site.users(2)
    assert "410 Gone" in await site.ended(endpoint.id)
    assert len(receiver.took) == 1
    assert not (await site.look(endpoint.id)).enabled


async def test_both_secrets_sign_while_they_overlap(site: Site, receiver: Receiver) -> None:
    first = await site.endpoint(receiver.url())
    async with site.command() as transaction:
        second = await rotate_secret(transaction, first.endpoint.id, timedelta(hours=1), site.keeper)
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) == 1)
    assert receiver.took[0].is_signed_with(first.secret)
    assert receiver.took[0].is_signed_with(second.secret)
    assert len(receiver.took[0].headers["webhook-signature"].split(" ")) == 2
    async with site.command() as transaction:
        third = await rotate_secret(transaction, first.endpoint.id, timedelta(0), site.keeper)
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) == 2)
    valid = [received.is_signed_with(secret.secret) for received in receiver.took[1:] for secret in (first, second, third)]
    assert valid == [False, False, True]
    async with site.command() as transaction:
        await rotate_secret(transaction, first.endpoint.id, timedelta(milliseconds=1), site.keeper)
    await asyncio.sleep(0.01)
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) == 3)
    assert not receiver.took[2].is_signed_with(third.secret), "the overlap is over"


async def test_a_secret_sealed_with_another_key_sends_nothing_until_it_is_rotated(site: Site, receiver: Receiver) -> None:
    stranger = replace(site, keeper=WebhookSecrets(b64encode(b"k" * 32).decode()))
    endpoint = (await stranger.endpoint(receiver.url())).endpoint
    await site.users(1)
    handle = site.temporal.get_workflow_handle(webhook_workflow_id(endpoint.id))

    async def said() -> bool:
        with suppress(RPCError):
            return "rotate it" in str((await handle.describe()).raw_description.pending_activities)
        return False

    await site.until(said)
    assert receiver.took == []
    assert await site.deliveries(endpoint.id) == [], "this is no fault of the receiver's"
    async with site.command() as transaction:
        rotated = await rotate_secret(transaction, endpoint.id, timedelta(0), site.keeper)
    await receiver.until(lambda: len(receiver.took) == 1)
    assert receiver.took[0].is_signed_with(rotated.secret)


async def test_redelivery_out_of_turn_whatever_the_queue_does(site: Site, receiver: Receiver) -> None:
    endpoint = (await site.endpoint(receiver.url())).endpoint
    await site.users(2)
    await receiver.until(lambda: len(receiver.took) == 2)
    listed = await site.until(lambda: _delivered(site, endpoint.id, 2))
    receiver.reply = lambda received: Reply(500 if received.id not in {one.event_id for one in listed} else 202)
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) >= 3)
    async with site.command() as transaction:
        asked = await request_redelivery(transaction, listed[0].id)
    assert (asked.status, asked.event_id) == ("PENDING", listed[0].event_id)
    again = await site.until(lambda: _finished(site, endpoint.id, asked.id))
    assert (again.status, again.response_status, again.trigger) == ("SUCCEEDED", 202, "redelivery")
    assert receiver.ids.count(listed[0].event_id) == 2
    assert (await site.look(endpoint.id)).failures > 0, "the queue still waits for its own event"
    async with site.command() as transaction:
        await update_endpoint(transaction, endpoint.id, lambda wish: replace(wish, enabled=False))
    await site.ended(endpoint.id)
    async with site.command() as transaction:
        asked = await request_redelivery(transaction, listed[1].id)
    assert (await site.until(lambda: _finished(site, endpoint.id, asked.id))).status == "SUCCEEDED"


async def _delivered(site: Site, endpoint_id: str, number: int) -> list[DeliveryRecord] | None:
    found = await site.deliveries(endpoint_id)
    return found if len(found) >= number else None


async def _finished(site: Site, endpoint_id: str, delivery_id: str) -> DeliveryRecord | None:
    return next((one for one in await site.deliveries(endpoint_id) if one.id == delivery_id and one.finished_at), None)


async def test_a_deleted_endpoint_gets_nothing_and_its_workflow_ends(site: Site, receiver: Receiver) -> None:
    endpoint = (await site.endpoint(receiver.url())).endpoint
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) == 1)
    async with site.command() as transaction:
        await delete_endpoint(transaction, endpoint.id)
    assert await site.ended(endpoint.id) == "The endpoint was deleted."
    await site.users(1)
    assert len(receiver.took) == 1


async def test_unwanted_events_are_not_read_past_again_and_again(site: Site, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "SKIP_FROM", 3)
    endpoint = (await site.endpoint(receiver.url(), "order.*")).endpoint
    await site.users(5)
    changes = count()

    async def skipped() -> bool:
        # Each change is one more event that is not wanted, and wakes the activity: it may have come by before all five were numbered.
        async with site.command() as transaction:
            await update_endpoint(transaction, endpoint.id, lambda wish: replace(wish, description=f"change {next(changes)}"))
        return (await site.look(endpoint.id)).position >= endpoint.position + 5

    await site.until(skipped)
    assert receiver.took == []


async def test_a_workflow_that_somebody_ended_is_started_again_with_the_worker(site: Site, receiver: Receiver) -> None:
    endpoint = (await site.endpoint(receiver.url())).endpoint
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) == 1)
    await site.temporal.get_workflow_handle(webhook_workflow_id(endpoint.id)).terminate("by mistake")
    await look_at_all_endpoints(site.temporal, site.database)
    await site.users(1)
    await receiver.until(lambda: len(receiver.took) >= 2)
    assert receiver.took[-1].id != receiver.took[0].id


async def test_old_attempts_are_forgotten(site: Site, receiver: Receiver) -> None:
    endpoint = (await site.endpoint(receiver.url())).endpoint
    await site.users(2)
    await site.until(lambda: _delivered(site, endpoint.id, 2))
    async with site.command() as transaction:
        assert await webhooks.purge(transaction) == 0
        transaction.now += webhooks.KEPT
        assert await webhooks.purge(transaction) == 2
    assert await site.deliveries(endpoint.id) == []


async def test_operators_see_cursor_last_answer_and_next_try(site: Site, receiver: Receiver) -> None:
    receiver.reply = lambda _: Reply(500)
    endpoint = (await site.endpoint(receiver.url("/secret-path"))).endpoint
    await site.users(1)
    handle = site.temporal.get_workflow_handle(webhook_workflow_id(endpoint.id))

    async def details() -> str | None:
        # It may not have been started yet.
        with suppress(RPCError):
            shown = str(await handle.query("__temporal_workflow_metadata"))
            return shown if "receiver fails" in shown else None
        return None

    shown = await site.until(details)
    for part in ("Next try at", "Delivered up to position", "The receiver answered 500.", receiver.url("")):
        assert part in shown
    assert (await handle.describe()).status is WorkflowExecutionStatus.RUNNING
    history = (await handle.fetch_history()).to_json()
    for secret in (endpoint.secret.hex(), "secret-path", "whsec_"):
        assert secret not in history


async def test_the_secret_is_nowhere_but_in_the_row(site: Site, receiver: Receiver) -> None:
    registered = await site.endpoint(receiver.url())
    raw = b64decode(registered.secret.removeprefix("whsec_"))
    assert registered.secret not in repr(registered)
    assert repr(registered.endpoint.secret) not in repr(registered.endpoint)
    async with site.database.reading() as reader:
        for table in ("webhook_endpoints", "audit_log", "events", "workflow_messages", "idempotency_keys"):
            for row in await reader.rows(text(f"SELECT * FROM {table}")):  # noqa: S608
                assert registered.secret not in str(row)
                assert raw.hex() not in str(row)
                assert repr(raw)[2:-1] not in str(row)
