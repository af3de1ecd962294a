"""A thousand idle and a hundred busy readers of one API process; what they cost is printed (``pytest -s``)."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import orjson
import pytest
from httptools import HttpResponseParser

from devstack import ports
from offerhub.domain.context import Context
from offerhub.domain.events import Event
from offerhub.storage.unit_of_work import Database
from tests.integration.api.conftest import MASTER, relaying, settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc")]

ROOT = Path(__file__).resolve().parents[3]
IDLE, BUSY = 1_000, 100
WRITES, EVENTS_PER_WRITE, WRITES_PER_S = 500, 2, 25
# Generous: the machine is shared with the database, the writer and a hundred readers' parsing, and maybe with more.
MOST_MIB, SLOWEST_S = 400, 20.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Reader(asyncio.Protocol):
    """Notes each event's position and how long it took from just before its commit; keeps nothing else."""

    def __init__(self) -> None:
        self.positions: list[int] = []
        self.waits_s: list[float] = []
        self.heard = asyncio.get_running_loop().create_future()
        self.ended = False
        self._parser = HttpResponseParser(self)
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.ended = True

    def on_body(self, body: bytes) -> None:
        """What the parser calls."""
        now = time.time()
        if not self.heard.done():
            self.heard.set_result(None)
        *frames, self._rest = (self._rest + body).split(b"\n\n")
        for frame in frames:
            _, found, data = frame.partition(b"\ndata: ")
            if found:
                event = orjson.loads(data)
                self.positions.append(event["position"])
                self.waits_s.append(now - float(event["payload"]["externalUserId"]))


@dataclass(frozen=True)
class Process:
    port: int
    running: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        fields = Path(f"/proc/{self.running.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS_PER_S

    def memory_mib(self) -> float:
        lines = Path(f"/proc/{self.running.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


@dataclass
class Readers:
    process: Process
    opened: list[tuple[asyncio.Transport, Reader]] = field(default_factory=list)

    async def open(self, count: int, query: str) -> list[Reader]:
        port = self.process.port
        head = f"GET /api/v1/events?{query} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {MASTER}\r\n\r\n".encode()

        async def one() -> Reader:
            transport, reader = await asyncio.get_running_loop().create_connection(Reader, "127.0.0.1", port)
            self.opened.append((transport, reader))
            transport.write(head)
            await asyncio.wait_for(reader.heard, 120)
            return reader

        return [reader for _ in range(count // 50) for reader in await asyncio.gather(*(one() for _ in range(50)))]

    def close(self) -> None:
        for transport, _ in self.opened:
            transport.close()


@asynccontextmanager
async def serving_apart(postgres_url: str, redis_url: str) -> AsyncIterator[Process]:
    values = settings(postgres_url, redis_url, port=ports.any_free()).model_dump()
    environment = {name.upper(): str(value) for name, value in values.items() if name != "wallet_encryption_key"}
    running = subprocess.Popen((sys.executable, "-m", "api"), cwd=ROOT, env={**environment, "PATH": os.environ["PATH"]})  # noqa: ASYNC220
    try:
        async with httpx.AsyncClient(trust_env=False, base_url=f"http://127.0.0.1:{values['port']}/api/v1") as client:
            await until(lambda: _answers(client), 120)
        yield Process(values["port"], running)
    finally:
        running.kill()
        running.wait()


async def _answers(client: httpx.AsyncClient) -> bool:
    with suppress(httpx.HTTPError):
        return (await client.get("/health")).is_success
    return False


async def until(look: Callable[[], object], limit_s: float) -> None:
    end = time.monotonic() + limit_s
    while True:
        found = look()
        if await found if asyncio.iscoroutine(found) else found:
            return
        assert time.monotonic() < end, f"not within {limit_s} s"
        await asyncio.sleep(0.05)


async def test_a_thousand_idle_and_a_hundred_busy_readers(postgres_url: str, redis_url: str) -> None:
    async with AsyncExitStack() as opening:
        process = await opening.enter_async_context(serving_apart(postgres_url, redis_url))
        await opening.enter_async_context(relaying(postgres_url, redis_url))
        database = Database(postgres_url)
        opening.push_async_callback(database.close)
        readers = Readers(process)
        opening.callback(readers.close)
        empty_mib = process.memory_mib()
        idle = await readers.open(IDLE, "userId=usr_quiet")
        with_idle_mib, cpu_s = process.memory_mib(), process.cpu_s()
        await asyncio.sleep(5)
        idle_cores = (process.cpu_s() - cpu_s) / 5
        busy = await readers.open(BUSY, "types=user.created")
        cpu_s, began = process.cpu_s(), time.monotonic()
        await _write(database)
        await until(lambda: all(len(reader.positions) == WRITES * EVENTS_PER_WRITE for reader in busy), 240)
        took_s = time.monotonic() - began
        busy_cores = (process.cpu_s() - cpu_s) / took_s
        waits_ms = sorted(wait_s * 1_000 for reader in busy for wait_s in reader.waits_s)
        median_ms, p99_ms = waits_ms[len(waits_ms) // 2], waits_ms[len(waits_ms) * 99 // 100]
        print(  # noqa: T201
            f"\n{IDLE} idle readers: {with_idle_mib - empty_mib:.0f} MiB, {idle_cores:.2f} cores; and {BUSY} busy ones, "
            f"{len(waits_ms) / took_s:,.0f} events/s delivered: {process.memory_mib():.0f} MiB in all, {busy_cores:.2f} cores, "
            f"from before the commit to the reader {median_ms:.0f} ms median, {p99_ms:.0f} ms p99, {waits_ms[-1]:.0f} ms slowest"
        )
        assert all(reader.positions == busy[0].positions == sorted(set(busy[0].positions)) for reader in busy)
        assert not any(reader.ended or reader.positions for reader in idle)
        assert process.memory_mib() < MOST_MIB
        assert waits_ms[-1] < SLOWEST_S * 1_000


async def _write(database: Database) -> None:
    began = time.monotonic()
    for number in range(WRITES):
        await asyncio.sleep(max(0.0, began + number / WRITES_PER_S - time.monotonic()))
        async with database.transaction(Context("system", "req_test")) as transaction:
            for _ in range(EVENTS_PER_WRITE):
                payload = {"userId": f"usr_{number}", "externalUserId": str(time.time()), "type": "BOTH"}
                transaction.emit(Event("user.created", f"usr_{number}", payload, (f"usr_{number}",)))
