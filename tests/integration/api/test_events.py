"""The stream: order, resume, filters, the seam between replay and live, and life without Redis."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from api.__main__ import _GRACE_S
from api.auth import _FRESH_S
from api.events import KEY_LOOK_S
from offerhub.commands.api_keys import revoke_api_key
from offerhub.commands.users import CreateUser, create_user
from offerhub.domain.context import Context
from offerhub.domain.events import CATALOGUE, Event
from offerhub.storage import events
from offerhub.storage.unit_of_work import Database
from offerhub.stream.hub import Hub, Subscription
from offerhub.stream.nudges import Nudges
from offerhub.stream.relay import KEPT_EVENTS, STREAM, Relay
from tests.integration.api.conftest import MASTER, Api, opened, relaying
from tests.integration.api.test_orders import UNIT, created, parties, wish
from tests.services import PostgresServer

Message = tuple[str, str, dict[str, Any]]


@asynccontextmanager
async def stream(api: Api, params: dict[str, str] | None = None, last_id: str | None = None) -> AsyncIterator[AsyncIterator[Message]]:
    headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
    async with api.client.stream("GET", "/events", params=params, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        # Once something has come, the reader is subscribed.
        name, _, value = (await anext(lines)).partition(": ")

        async def messages() -> AsyncIterator[Message]:
            found = {name: value} if name else {}
            async for line in lines:
                field, _, content = line.partition(": ")
                if field:
                    found[field] = content
                elif not line and "data" in found:
                    yield found.get("id", ""), found["event"], orjson.loads(found["data"])
                    found = {}

        yield messages()


async def take(messages: AsyncIterator[Message], count: int, limit_s: float = 60) -> list[Message]:
    found: list[Message] = []
    async with asyncio.timeout(limit_s):
        async for message in messages:
            found.append(message)
            if len(found) == count:
                break
    return found


async def emit(database: Database, count: int, prefix: str = "user") -> None:
    async with database.transaction(Context("system", "req_test")) as transaction:
        for number in range(count):
            payload = {"userId": f"usr_{prefix}{number}", "externalUserId": f"{prefix}{number}", "type": "BOTH"}
            transaction.emit(Event("user.created", f"usr_{prefix}{number}", payload, (f"usr_{prefix}{number}",)))


async def everything(database: Database) -> list[events.EventRecord]:
    async with database.reading() as reader:
        return await events.after(reader, 0, events.EventFilter(), 10_000)


@pytest.mark.usefixtures("relay")
async def test_an_order_is_told_as_it_happens(api: Api) -> None:
    buyer, seller = await parties(api)
    async with stream(api, {"types": "order.*,balance.reserved"}) as messages:
        order = await created(await api.client.post("/orders", json=wish(buyer, seller), headers={"X-Request-ID": "req-mine"}))
        await api.client.post(f"/orders/{order['id']}/reserve")
        found = await take(messages, 3)
    assert [kind for _, kind, _ in found] == ["order.created", "balance.reserved", "order.funds_reserved"]
    event_id, _, first = found[0]
    assert first["eventId"] == event_id
    assert first["metadata"]["correlationId"] == "req-mine"
    assert (first["aggregateType"], first["aggregateId"], first["payload"]["amount"]) == ("Order", order["id"], "80.00")
    positions = [message["position"] for _, _, message in found]
    assert positions == sorted(set(positions))


@pytest.mark.usefixtures("relay")
async def test_commit_to_reader_waits_for_no_poll(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("offerhub.stream.relay._IDLE_POLL_S", 2.0)
    waits = []
    async with stream(api, {"types": "user.created"}) as messages:
        for number in range(20):
            await emit(api.services.database, 1, f"n{number}-")
            committed = time.monotonic()
            await take(messages, 1)
            waits.append(time.monotonic() - committed)
    assert sorted(waits)[10] < 1, waits


@pytest.mark.usefixtures("relay")
async def test_a_reader_that_reconnects_all_the_time_sees_everything_once_and_in_order(api: Api) -> None:
    await emit(api.services.database, 1, "first")
    await _numbered(api.services.database)
    start = (await everything(api.services.database))[-1].id

    async def write() -> None:
        async def one(writer: int) -> None:
            for turn in range(20):
                await emit(api.services.database, 3, f"w{writer}t{turn}n")
                await asyncio.sleep(0.002 * writer)

        await asyncio.gather(*(one(writer) for writer in range(6)))

    writing = asyncio.create_task(write())
    seen: list[Message] = []
    while len(seen) < 360:
        async with stream(api, {"types": "user.created"}, last_id=seen[-1][0] if seen else start) as messages:
            seen += await take(messages, min(37, 360 - len(seen)))
    await writing
    told = [record.id for record in await everything(api.services.database) if record.type == "user.created"]
    assert [event_id for event_id, _, _ in seen] == told[told.index(start) + 1 :]


@pytest.mark.usefixtures("relay")
async def test_filters(api: Api) -> None:
    await emit(api.services.database, 3, "x")
    await _numbered(api.services.database)

    async def ids(**params: str) -> list[str]:
        answer = await api.client.get("/events", params={"limit": "100", **params}, headers={"Accept": "application/json"})
        assert answer.status_code == 200, answer.text
        return [event["aggregateId"] for event in answer.json()["data"] if event["eventType"] == "user.created"]

    assert await ids(types="user.created") == ["usr_x0", "usr_x1", "usr_x2"]
    assert await ids(types="user.*,wallet.ready") == ["usr_x0", "usr_x1", "usr_x2"]
    assert await ids(types="order.*") == []
    assert await ids(userId="usr_x1") == ["usr_x1"]
    assert await ids(resourceId="usr_x2") == ["usr_x2"]
    assert await ids(resourceTypes="user,order") == ["usr_x0", "usr_x1", "usr_x2"]
    assert await ids(resource_types="Order") == []
    for params in ({"types": "user.%"}, {"resourceTypes": "user,withdrawals"}, {"resourceTypes": "user,"}):
        wrong = await api.client.get("/events", params=params, headers={"Accept": "application/json"})
        assert wrong.json()["error"]["code"] == "VALIDATION_ERROR", params


@pytest.mark.parametrize("aggregate", sorted({definition.aggregate for definition in CATALOGUE.values()}))
async def test_every_kind_of_resource_can_be_asked_for(aggregate: str, postgres_url: str) -> None:
    kind, definition = next((name, one) for name, one in CATALOGUE.items() if one.aggregate == aggregate)
    async with opened(postgres_url, "redis://127.0.0.1:1") as api:
        async with api.services.database.transaction(Context("system", "req_test")) as transaction:
            transaction.emit(Event(kind, "res_1", dict.fromkeys(definition.required, "1.00")))
        async with api.services.database.transaction(Context("system", "relay")) as transaction:
            await events.number_committed(transaction, 1_000)
        params = {"resourceTypes": aggregate.lower(), "resourceId": "res_1"}
        answer = await api.client.get("/events", params=params, headers={"Accept": "application/json"})
    assert [event["eventType"] for event in answer.json()["data"]] == [kind]


@pytest.mark.usefixtures("relay")
async def test_the_list_pages_forward_from_a_cursor_or_a_time(api: Api) -> None:
    await emit(api.services.database, 5, "x")
    await _numbered(api.services.database)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        params = {"types": "user.created", "limit": "2", **cursor}
        body = (await api.client.get("/events", params=params, headers={"Accept": "application/json"})).json()
        seen += [event["aggregateId"] for event in body["data"]]
        if not body["hasMore"]:
            break
        cursor = {"cursor": body["nextCursor"]}
    assert seen == [f"usr_x{number}" for number in range(5)]
    params = {"cursor": "2001-01-01T00:00:00Z", "types": "user.created", "limit": "1"}
    body = (await api.client.get("/events", params=params, headers={"Accept": "application/json"})).json()
    assert body["data"][0]["aggregateId"] == "usr_x0"
    params["cursor"] = "2101-01-01T00:00:00Z"
    body = (await api.client.get("/events", params=params, headers={"Accept": "application/json"})).json()
    assert body["data"] == []


async def test_resuming_at_a_time_skips_nothing_that_happened_since(postgres_url: str) -> None:
    database = Database(postgres_url)
    context = Context("system", "req_test")
    async with database.transaction(context) as early:
        await create_user(early, CreateUser("early"))
        await asyncio.sleep(0.05)
        resume_at = datetime.now(UTC)
        await emit(database, 1, "late")
        async with database.transaction(context) as relay:
            await events.number_committed(relay, 100)
    async with database.transaction(context) as relay:
        await events.number_committed(relay, 100)
    first, second = await everything(database)
    assert first.occurred_at > resume_at > second.occurred_at, "the positions are the other way round than the times"
    async with database.reading() as reader:
        assert await events.position_before(reader, resume_at) < first.position
        assert await events.position_before(reader, resume_at + timedelta(hours=1)) == second.position
    await database.close()


@pytest.mark.usefixtures("relay")
async def test_an_unknown_id_is_called_stale_first(api: Api) -> None:
    async with stream(api, {"types": "user.created"}, last_id="evt_unknown") as messages:
        await emit(api.services.database, 1)
        found = await take(messages, 2)
    assert [(event_id == "", kind) for event_id, kind, _ in found] == [(True, "stale"), (False, "user.created")]


async def test_positions_follow_commits_not_inserts(postgres_url: str, redis_url: str) -> None:
    database, redis = Database(postgres_url), Redis.from_url(redis_url)
    relay = Relay(database, redis, Nudges(redis))
    context = Context("system", "req_test")
    async with database.transaction(context) as early:
        await create_user(early, CreateUser("early"))
        early.flush()
        await early.rows(text("SELECT 1"))
        async with database.transaction(context) as late:
            await create_user(late, CreateUser("late"))
        assert await relay.relay_once() == 1
        early._events.clear()
        early._audit.clear()
    assert await relay.relay_once() == 1
    assert await relay.relay_once() == 0
    told = [record.payload["externalUserId"] for record in await everything(database)]
    assert told == ["late", "early"]
    assert await redis.xlen(STREAM) == 2
    await redis.aclose()
    await database.close()


async def test_relays_at_the_same_time_give_each_event_one_position(postgres_url: str, redis_url: str) -> None:
    database, redis = Database(postgres_url), Redis.from_url(redis_url)
    await emit(database, 1_500)
    relays = [Relay(database, redis, Nudges(redis)) for _ in range(4)]
    for _ in range(5):
        await asyncio.gather(*(relay.relay_once() for relay in relays))
    assert [record.position for record in await everything(database)] == list(range(1, 1_501))
    assert KEPT_EVENTS <= await redis.xlen(STREAM) <= KEPT_EVENTS + 200
    await redis.aclose()
    await database.close()


async def test_without_redis_everything_still_arrives(postgres_url: str) -> None:
    nowhere = "redis://127.0.0.1:1"
    async with opened(postgres_url, nowhere) as api, relaying(postgres_url, nowhere), stream(api, {"types": "user.created"}) as messages:
        await emit(api.services.database, 5)
        found = await take(messages, 5)
    assert [message["aggregateId"] for _, _, message in found] == [f"usr_user{number}" for number in range(5)]


async def test_the_hub_fills_a_hole_that_redis_has(postgres_url: str, redis_url: str) -> None:
    database, redis = Database(postgres_url), Redis.from_url(redis_url)
    hub = Hub(database, redis)
    hub.start()
    await asyncio.wait_for(hub.ready.wait(), 60)
    with hub.subscribe(events.EventFilter()) as subscription:
        await emit(database, 3, "lost")
        async with database.transaction(Context("system", "relay")) as transaction:
            await events.number_committed(transaction, 100)  # numbered, and then the relay died before it told Redis
        await emit(database, 2, "told")
        await Relay(database, redis, Nudges(redis)).relay_once()
        found = [await asyncio.wait_for(subscription.queue.get(), 60) for _ in range(5)]
    assert [record.position for record in found if record] == [1, 2, 3, 4, 5]
    await hub.stop()
    await redis.aclose()
    await database.close()


async def test_what_redis_kept_of_another_database_is_not_told(
    postgres_url: str, redis_url: str, postgres_server: PostgresServer, migrated_template: str
) -> None:
    """As after a restore: Redis remembers more than has happened."""
    database, redis = Database(postgres_url), Redis.from_url(redis_url)
    with postgres_server.database(migrated_template) as other_url:
        other = Database(other_url)
        await emit(other, 5, "forgotten")
        await Relay(other, redis, Nudges(redis)).relay_once()
        hub = Hub(database, redis)
        hub.start()
        await asyncio.wait_for(hub.ready.wait(), 60)
        with hub.subscribe(events.EventFilter()) as subscription:
            await emit(other, 5, "elsewhere")
            await Relay(other, redis, Nudges(redis)).relay_once()
            await emit(database, 2, "mine")
            await Relay(database, redis, Nudges(redis)).relay_once()
            found = [await asyncio.wait_for(subscription.queue.get(), 60) for _ in range(2)]
        assert [record.aggregate_id for record in found if record] == ["usr_mine0", "usr_mine1"]
        await hub.stop()
        await other.close()
    await redis.aclose()
    await database.close()


async def test_a_slow_reader_is_cut_off_and_told_so(postgres_url: str, redis_url: str) -> None:
    database, redis = Database(postgres_url), Redis.from_url(redis_url)
    await emit(database, 1_100)
    relay = Relay(database, redis, Nudges(redis))
    while await relay.relay_once():
        pass
    subscription = Subscription(events.EventFilter())
    for record in await everything(database):
        subscription.offer(record)
    assert subscription.overrun
    held = [subscription.queue.get_nowait() for _ in range(subscription.queue.qsize())]
    assert [record.position for record in held[:-1] if record] == list(range(1, 1_001))
    assert held[-1] is None
    await redis.aclose()
    await database.close()


async def test_a_stream_ends_with_its_key_and_beats_until_then(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.events.HEARTBEAT_S", 0.2)
    monkeypatch.setattr("api.events.KEY_LOOK_S", 3600.0)
    key = await api.key("read")
    async with api.acting(key) as client, client.stream("GET", "/events") as answer, api.acting(MASTER) as master:
        lines = answer.aiter_lines()
        assert [await anext(lines) for _ in range(3)] == [": still here", "", ": still here"]
        await master.delete(f"/auth/api-keys/key_{key.split('_')[2]}")
        async with asyncio.timeout(60):
            async for _ in lines:
                pass


async def test_a_stream_ends_when_another_process_revokes_its_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own looks, each of which may be shown a row read just before; not by the heartbeat."""
    monkeypatch.setattr("api.events.HEARTBEAT_S", 3600.0)
    assert KEY_LOOK_S + _FRESH_S <= 2
    key = await api.key("read")
    async with api.acting(key) as client, client.stream("GET", "/events") as answer:
        lines = answer.aiter_lines()
        assert await anext(lines) == ": still here"
        async with api.services.database.transaction(Context("system", "elsewhere")) as transaction:
            await revoke_api_key(transaction, f"key_{key.split('_')[2]}")
        async with asyncio.timeout(60):
            async for _ in lines:
                pass


async def test_a_stopping_server_ends_its_streams_and_waits(postgres_url: str, redis_url: str) -> None:
    async with opened(postgres_url, redis_url) as api:
        buyer, seller = await api.market.user(100 * UNIT), await api.market.user()
        order = await created(await api.client.post("/orders", json=wish(buyer.id, seller.id)))
        await api.client.post(f"/orders/{order['id']}/reserve")

        async def listen() -> int:
            async with api.acting(MASTER) as client, client.stream("GET", "/events") as answer:
                lines = answer.aiter_lines()
                first = await anext(lines)
                is_open.set()
                return len([first] + [line async for line in lines])

        async def wait() -> int:
            async with api.acting(MASTER) as client:
                return (await client.post(f"/orders/{order['id']}/escrow")).status_code

        is_open = asyncio.Event()
        listening, waiting = asyncio.create_task(listen()), asyncio.create_task(wait())
        async with asyncio.timeout(60):
            await is_open.wait()
            while not api.services.hub._waiting:  # noqa: ASYNC110 - what is waited for sets no event
                await asyncio.sleep(0.01)
        stopped = time.monotonic()
    assert await waiting == 202
    assert await listening >= 1
    assert time.monotonic() - stopped < _GRACE_S, "nobody had to be waited for until then"


async def _numbered(database: Database) -> None:
    """Until the relay has numbered everything committed so far."""
    for _ in range(3_000):
        async with database.engine.connect() as connection:
            left = await connection.exec_driver_sql("SELECT count(*) FROM events WHERE position IS NULL")
            if left.scalar_one() == 0:
                return
        await asyncio.sleep(0.02)
    raise AssertionError("the relay does not number")
