"""The stream while thousands of events are written: readers that come and go, a Redis that dies, a reader that does not read."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from contextlib import AsyncExitStack

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from devstack import ports, valkey
from offerhub.domain.context import Context
from offerhub.domain.events import Event
from offerhub.storage.events import EventFilter
from offerhub.storage.unit_of_work import Database
from offerhub.stream.hub import Subscription
from tests.integration.api.conftest import Api, opened, relaying
from tests.integration.api.test_events import Message, emit, everything, stream, take
from tests.services import TestServices

pytestmark = pytest.mark.slow

TYPES = {"types": "user.created"}
READERS, WRITERS, TURNS, A_TURN = 8, 6, 100, 5
LOAD_LIMIT_S = 240.0


async def test_readers_that_come_and_go_see_every_position_once_and_in_order(postgres_url: str, redis_url: str) -> None:
    """Two relays, transactions that overlap and commit in any order, and a Redis that forgets its stream now and then."""
    total = WRITERS * TURNS * A_TURN
    async with AsyncExitStack() as opening:
        api = await opening.enter_async_context(opened(postgres_url, redis_url))
        for _ in range(2):
            await opening.enter_async_context(relaying(postgres_url, redis_url))
        start = await _first(api)
        reading = [asyncio.create_task(_read_with_breaks(api, start, total, random.Random(seed))) for seed in range(READERS)]
        writing = [asyncio.create_task(_write(api.services.database, writer)) for writer in range(WRITERS)]
        forgetting = asyncio.create_task(_forget(redis_url))
        async with asyncio.timeout(LOAD_LIMIT_S):
            await asyncio.gather(*writing)
            seen = await asyncio.gather(*reading)
        forgetting.cancel()
        told = [record for record in await everything(api.services.database) if record.type == "user.created"]
    expected = [record.id for record in told[1:]]
    assert len(expected) == total
    assert [record.position for record in told] == sorted(record.position for record in told)
    for reader in seen:
        assert reader == expected


async def _first(api: Api) -> str:
    await emit(api.services.database, 1, "first")
    async with stream(api, TYPES, last_id="2001-01-01T00:00:00Z") as messages:
        return (await take(messages, 1))[0][0]


async def _read_with_breaks(api: Api, start: str, total: int, chance: random.Random) -> list[str]:
    seen: list[str] = []
    while len(seen) < total:
        async with stream(api, TYPES, last_id=seen[-1] if seen else start) as messages:
            part = await take(messages, min(chance.randint(1, 600), total - len(seen)), LOAD_LIMIT_S)
        seen += [event_id for event_id, kind, _ in part if kind == "user.created"]
        await asyncio.sleep(chance.random() * 0.1)
    return seen


async def _write(database: Database, writer: int) -> None:
    chance = random.Random(writer)
    for turn in range(TURNS):
        async with database.transaction(Context("system", "req_test")) as transaction:
            for number in range(A_TURN):
                user = f"w{writer}t{turn}n{number}"
                payload = {"userId": f"usr_{user}", "externalUserId": user, "type": "BOTH"}
                transaction.emit(Event("user.created", f"usr_{user}", payload, (f"usr_{user}",)))
            transaction.flush()
            await transaction.rows(text("SELECT 1"))
            transaction._events.clear()
            # Written, with its place among the inserts, but not committed yet.
            await asyncio.sleep(chance.random() * 0.03)


async def _forget(redis_url: str) -> None:
    async with Redis.from_url(redis_url) as redis:
        while True:
            await asyncio.sleep(0.4)
            await redis.flushall()


async def test_redis_dies_and_returns_while_a_reader_listens(postgres_url: str, services: TestServices) -> None:
    port = ports.any_free()
    prepared = valkey.prepare(services.folder / f"mortal-redis-{port}", port, durable=False)
    redis = services.start(prepared)
    async with opened(postgres_url, valkey.url(port)) as api, relaying(postgres_url, valkey.url(port)), stream(api, TYPES) as messages:
        seen: list[Message] = []
        for moment in ("alive", "dead", "back"):
            if moment == "dead":
                redis.process.kill()
                redis.process.wait()
            elif moment == "back":
                redis = services.start(prepared)
            for turn in range(20):
                await emit(api.services.database, 5, f"{moment}{turn}n")
            seen += await take(messages, 100)
        found = [message["aggregateId"] for _, _, message in seen]
        assert found == [
            f"usr_{moment}{turn}n{number}" for moment in ("alive", "dead", "back") for turn in range(20) for number in range(5)
        ]
        async with asyncio.timeout(60):
            while await _median_wait(api, messages) > 0.1:
                pass
    redis.process.kill()
    redis.process.wait()


async def _median_wait(api: Api, messages: object) -> float:
    waits = []
    for _ in range(9):
        await emit(api.services.database, 1, "again")
        committed = time.monotonic()
        await take(messages, 1)  # type: ignore[arg-type]
        waits.append(time.monotonic() - committed)
    return sorted(waits)[4]


async def test_a_reader_that_does_not_read_is_cut_off_and_misses_nothing(postgres_url: str, redis_url: str) -> None:
    count, size = 3_000, 8_000
    async with opened(postgres_url, redis_url) as api, relaying(postgres_url, redis_url):
        reader, writer = await _slow_connection(api)
        assert b": still here" in await reader.readuntil(b": still here")
        with api.services.hub.subscribe(EventFilter(types=("user.created",))) as told:
            for turn in range(count // 100):
                await _emit_large(api.services.database, turn, size)
                await _take(told, 100)
        body = await asyncio.wait_for(reader.read(), 120)
        writer.close()
        frames = [frame for frame in _unchunked(body).split(b"\n\n") if frame.startswith((b"id: ", b"event: "))]
        assert frames[-1].startswith(b"event: overrun\n")
        seen = [frame.partition(b"\n")[0].removeprefix(b"id: ").decode() for frame in frames[:-1]]
        assert 1_000 <= len(seen) < count
        async with stream(api, TYPES, last_id=seen[-1]) as messages:
            seen += [event_id for event_id, _, _ in await take(messages, count - len(seen), 120)]
        assert seen == [record.id for record in await everything(api.services.database) if record.type == "user.created"]


async def _take(told: Subscription, count: int) -> None:
    async with asyncio.timeout(LOAD_LIMIT_S):
        while count > 0:
            count -= len(await told.take(timeout_s=1))


async def _slow_connection(api: Api) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """With the smallest window that the system gives, so that what is not read stays with the server."""
    address = api.url.removeprefix("http://").partition("/")[0]
    host, _, port = address.partition(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    await asyncio.get_running_loop().sock_connect(raw, (host, int(port)))
    reader, writer = await asyncio.open_connection(sock=raw, limit=4096)
    headers = f"Host: {address}\r\nAuthorization: {api.client.headers['Authorization']}\r\nConnection: close"
    head = f"GET /api/v1/events?types=user.created HTTP/1.1\r\n{headers}\r\n\r\n"
    writer.write(head.encode())
    return reader, writer


async def _emit_large(database: Database, turn: int, size: int) -> None:
    async with database.transaction(Context("system", "req_test")) as transaction:
        for number in range(100):
            payload = {"userId": f"usr_{turn}n{number}", "externalUserId": "x" * size, "type": "BOTH"}
            transaction.emit(Event("user.created", f"usr_{turn}n{number}", payload))


def _unchunked(body: bytes) -> bytes:
    """What HTTP/1.1 puts around the parts of an answer taken away."""
    parts, rest = [], body.lstrip(b"\r\n")
    while rest:
        length, _, rest = rest.partition(b"\r\n")
        size = int(length, 16)
        parts.append(rest[:size])
        rest = rest[size + 2 :]
    return b"".join(parts)
