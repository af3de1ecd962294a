"""Deliveries as the worker makes them: real PostgreSQL, Redis and Temporal, a relay, an outbox, and retries that take no three days."""

from __future__ import annotations

import asyncio
import base64
import os
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from temporalio.client import Client
from temporalio.service import RPCError
from temporalio.worker import Worker

from activities.delivery import DeliveryActivities, DeliveryTools
from activities.failures import FailureInterceptor
from activities.outbox import Dispatcher
from activities.temporal_server import connect
from offerhub.commands.users import CreateUser, create_user
from offerhub.commands.webhooks import Wish, WithSecret, create_endpoint
from offerhub.domain.context import Context
from offerhub.domain.ids import webhook_workflow_id
from offerhub.domain.messages import ORDERS_QUEUE, STREAMS_QUEUE
from offerhub.domain.webhooks import RetrySchedule
from offerhub.storage import webhooks
from offerhub.storage.unit_of_work import EVENTS_WRITTEN, MESSAGES_WRITTEN, Database, Transaction
from offerhub.storage.webhooks import DeliveryFilter, DeliveryRecord, EndpointRecord
from offerhub.stream.hub import Hub
from offerhub.stream.nudges import Nudges
from offerhub.stream.relay import Relay
from offerhub.stream.webhook_secrets import WebhookSecrets
from offerhub.stream.webhook_sending import WebhookSender
from tests.receiver import Receiver, receiving
from worker import shut_down, workflow_runner
from workflows.webhook_delivery import WebhookDeliveryWorkflow

PATIENT = RetrySchedule(first=timedelta(milliseconds=50), longest=timedelta(milliseconds=200), give_up_after=timedelta(minutes=1))
RESTLESS = RetrySchedule(first=timedelta(milliseconds=50), longest=timedelta(milliseconds=100), give_up_after=timedelta(milliseconds=400))

HOURLY = RetrySchedule(first=timedelta(hours=1))


@dataclass(frozen=True)
class Site:
    """An installation that does nothing but have users and tell of them."""

    database: Database
    temporal: Client
    keeper: WebhookSecrets

    @asynccontextmanager
    async def command(self) -> AsyncIterator[Transaction]:
        async with self.database.transaction(Context("key_test", f"req_{uuid.uuid4().hex[:8]}")) as transaction:
            yield transaction

    async def endpoint(self, url: str, *event_types: str) -> WithSecret:
        async with self.command() as transaction:
            return await create_endpoint(transaction, Wish(url, event_types or ("user.created",)), self.keeper)

    async def users(self, number: int) -> list[str]:
        """So many users are created, one after the other; returns them in that order."""
        made = []
        for _ in range(number):
            async with self.command() as transaction:
                made.append((await create_user(transaction, CreateUser(uuid.uuid4().hex))).id)
        return made

    async def look(self, endpoint_id: str) -> EndpointRecord:
        async with self.database.reading() as reader:
            found = await webhooks.get(reader, endpoint_id)
        assert found is not None
        return found

    async def deliveries(self, endpoint_id: str) -> list[DeliveryRecord]:
        """Oldest first."""
        async with self.database.reading() as reader:
            return (await webhooks.deliveries(reader, DeliveryFilter(endpoint_id), None, 1_000))[::-1]

    async def until(self, condition: Callable[[], Any], timeout_s: float = 120.0) -> Any:
        async with asyncio.timeout(timeout_s):
            while not (found := await condition()):  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.02)
        return found

    async def ended(self, endpoint_id: str) -> str:
        """What the endpoint's workflow ended with."""
        handle = self.temporal.get_workflow_handle(webhook_workflow_id(endpoint_id))
        async with asyncio.timeout(120):
            while True:
                # It may not have been started yet.
                with suppress(RPCError):
                    return str(await handle.result())
                await asyncio.sleep(0.05)


@asynccontextmanager
async def opened(postgres_url: str, redis_url: str, temporal_address: str, schedule: RetrySchedule) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        redis = await stack.enter_async_context(Redis.from_url(redis_url))
        nudges = Nudges(redis, (EVENTS_WRITTEN, MESSAGES_WRITTEN))
        stack.push_async_callback(nudges.close)
        database = Database(postgres_url, nudges.publish)
        stack.push_async_callback(database.close)
        client = await connect(temporal_address, f"webhooks-{uuid.uuid4().hex[:8]}", asyncio.Event())
        assert client is not None
        hub, keeper = Hub(database, redis), WebhookSecrets(base64.b64encode(os.urandom(32)).decode())
        tools = DeliveryTools(database, hub, keeper, WebhookSender(allow_private=True), schedule)
        for work in (hub.run(), Relay(database, redis, nudges).run(), Dispatcher(database, client, nudges, 10).run()):
            stack.push_async_callback(_canceled, asyncio.create_task(work))
        activities = [DeliveryActivities(tools).deliver_webhooks]
        workflows = Worker(client, task_queue=ORDERS_QUEUE, workflows=[WebhookDeliveryWorkflow], workflow_runner=workflow_runner())
        await stack.enter_async_context(_working(workflows))
        deliveries = Worker(client, task_queue=STREAMS_QUEUE, activities=activities, interceptors=[FailureInterceptor()])
        await stack.enter_async_context(_working(deliveries))
        yield Site(database, client, keeper)


@asynccontextmanager
async def _working(worker: Worker) -> AsyncIterator[None]:
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        await shut_down(worker, running)
        await asyncio.gather(running, return_exceptions=True)


async def _canceled(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


@pytest.fixture
async def site(postgres_url: str, redis_url: str, temporal_address: str) -> AsyncIterator[Site]:
    """Retries come soon and go on for a minute."""
    async with opened(postgres_url, redis_url, temporal_address, PATIENT) as running:
        yield running


@pytest.fixture
async def restless_site(postgres_url: str, redis_url: str, temporal_address: str) -> AsyncIterator[Site]:
    """Nobody tries for longer than half a second."""
    async with opened(postgres_url, redis_url, temporal_address, RESTLESS) as running:
        yield running


@pytest.fixture
async def patient_site(postgres_url: str, redis_url: str, temporal_address: str) -> AsyncIterator[Site]:
    """The first retry comes after an hour."""
    async with opened(postgres_url, redis_url, temporal_address, HOURLY) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running
