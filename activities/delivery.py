"""Deliver events to a webhook endpoint, one after the other, for as long as it goes well."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import urlsplit

import orjson
from temporalio import activity

from offerhub.commands.webhooks import book_delivery, book_redelivery
from offerhub.domain.context import Context
from offerhub.domain.ids import webhook_workflow_id
from offerhub.domain.messages import DeliveryReport, WebhookInput
from offerhub.domain.webhooks import Attempt, RetrySchedule
from offerhub.storage import events, webhooks
from offerhub.storage.events import EventFilter, EventRecord
from offerhub.storage.unit_of_work import Database
from offerhub.storage.webhooks import EndpointRecord
from offerhub.stream.envelope import envelope
from offerhub.stream.hub import Alarm, Hub
from offerhub.stream.stopping import told_to_stop
from offerhub.stream.webhook_secrets import WebhookSecrets, signature_header
from offerhub.stream.webhook_sending import Line, WebhookSender

RUN_S = 24 * 3600
# After something was delivered the workflow is told as often as this, so that operators see where it is.
REPORT_S = 30.0
# What is asked for out of turn waits for as many deliveries at most.
BATCH = 10
# An event that is not wanted costs nothing; but not too many of them are read past again and again.
SKIP_FROM = 1_000
USER_AGENT = "offerhub-webhooks/1"


@dataclass(frozen=True)
class DeliveryTools:
    database: Database
    hub: Hub
    secrets: WebhookSecrets
    sender: WebhookSender
    schedule: RetrySchedule = field(default=RetrySchedule())


class DeliveryActivities:
    def __init__(self, tools: DeliveryTools) -> None:
        self._tools = tools

    @activity.defn
    async def deliver_webhooks(self, started: WebhookInput) -> DeliveryReport:
        """Deliver what there is and wait for more, without asking Temporal; return when a delivery fails, or now and then to report.

        The cursor moves with the row that says what the receiver answered. Killed in between, the same event is sent again, with the
        same id. Nobody else delivers to this endpoint, unless this worker is taken for dead: then an event may come twice.
        """
        await self._tools.hub.ready.wait()
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            with self._tools.hub.alarm(EventFilter(aggregate_id=started.endpoint_id)) as alarm:
                async with self._tools.sender.line() as line:
                    return await _Run(self._tools, started.endpoint_id, line, alarm, stopping).to_its_end()
        finally:
            stopping.cancel()


@dataclass
class _Run:
    tools: DeliveryTools
    endpoint_id: str
    line: Line
    alarm: Alarm
    stopping: asyncio.Task[None]
    last_answer: str = ""
    began: float = field(default_factory=time.monotonic)

    async def to_its_end(self) -> DeliveryReport:
        while True:
            # Cleared before anything is read: whatever comes after that rings again.
            self.alarm.rung.clear()
            await self._redeliver()
            endpoint = await self._endpoint()
            if endpoint is None:
                return DeliveryReport(last_answer=self.last_answer, ended="The endpoint was deleted.")
            if not endpoint.enabled:
                return self._report(endpoint, ended=endpoint.disabled_reason or "The endpoint is disabled.")
            retry_in_s = _seconds_until(endpoint.next_try_at)
            if retry_in_s > 0:
                return self._report(endpoint, retry_in_s=retry_in_s)
            if self.stopping.done() or told_to_stop() or self._left_s() <= 0:
                return self._report(endpoint)
            self.alarm.wanted = (EventFilter(aggregate_id=self.endpoint_id), endpoint.wanted)
            if not await self._deliver(endpoint):
                await self._wait()

    async def _deliver(self, endpoint: EndpointRecord) -> bool:
        """One batch in order, up to the first failure; False when there is nothing to deliver."""
        async with self.tools.database.reading() as reader:
            latest = await events.latest_position(reader)
            found = await events.after(reader, endpoint.position, endpoint.wanted, BATCH)
        if not found and latest - endpoint.position > SKIP_FROM:
            async with self.tools.database.transaction(self._context) as transaction:
                await webhooks.skip_to(transaction, endpoint, latest)
        for event in found:
            attempt = await self._send(endpoint, event)
            async with self.tools.database.transaction(self._context) as transaction:
                booked = await book_delivery(transaction, endpoint.id, event, attempt, self.tools.schedule)
            # The next one only if this one has moved the cursor, here and not elsewhere, and the endpoint still wants what it wanted.
            expected = (True, event.position, endpoint.event_types)
            if booked is None or (booked.enabled, booked.position, booked.event_types) != expected or self.stopping.done():
                break
            endpoint = booked
        return bool(found)

    async def _redeliver(self) -> None:
        """What somebody asked for, out of turn."""
        while not self.stopping.done():
            async with self.tools.database.reading() as reader:
                asked = await webhooks.next_pending(reader, self.endpoint_id)
                endpoint = await webhooks.get(reader, self.endpoint_id)
                event = await events.get(reader, asked.event_id) if asked else None
            if asked is None or endpoint is None or event is None:
                return
            attempt = await self._send(endpoint, event)
            async with self.tools.database.transaction(self._context) as transaction:
                await book_redelivery(transaction, asked, attempt)

    async def _send(self, endpoint: EndpointRecord, event: EventRecord) -> Attempt:
        now, body = datetime.now(UTC), orjson.dumps(envelope(event))
        timestamp = int(now.timestamp())
        secrets = [self.tools.secrets.open(sealed, endpoint.id) for sealed in endpoint.sealed_secrets(now)]
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "webhook-id": event.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature_header(secrets, event.id, timestamp, body),
        }
        attempt = await self.line.send(endpoint.url, headers, body)
        answer = attempt.error or f"{attempt.status} after {attempt.duration_ms} ms"
        self.last_answer = f"{answer} (`{event.type}`, `{event.id}`, {now:%Y-%m-%d %H:%M:%S}Z)"
        return attempt

    async def _wait(self) -> None:
        ringing = asyncio.create_task(self.alarm.rung.wait())
        try:
            await asyncio.wait([ringing, self.stopping], timeout=self._left_s(), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ringing.cancel()

    async def _endpoint(self) -> EndpointRecord | None:
        async with self.tools.database.reading() as reader:
            return await webhooks.get(reader, self.endpoint_id)

    def _left_s(self) -> float:
        return self.began + (REPORT_S if self.last_answer else RUN_S) - time.monotonic()

    def _report(self, endpoint: EndpointRecord, *, retry_in_s: float = 0, ended: str = "") -> DeliveryReport:
        receiver = "://".join(urlsplit(endpoint.url)[:2])
        return DeliveryReport(endpoint.position, self.last_answer, retry_in_s, ended, receiver)

    @property
    def _context(self) -> Context:
        return Context("system", "webhooks", workflow_id=webhook_workflow_id(self.endpoint_id))


def _seconds_until(moment: datetime | None) -> float:
    return (moment - datetime.now(UTC)).total_seconds() if moment else 0.0
