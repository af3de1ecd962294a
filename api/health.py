"""Is what we need there? Each check has its own short time limit; the report is remembered for a second."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from api.call import Services
from offerhub.storage import wallets
from offerhub.storage.unit_of_work import Database

_FRESH_S = 1.0
_LIMIT_S = 2.0
_PLATFORM_KINDS = frozenset({"SPONSOR", "FEE", "PLATFORM", "SIGNER"})
# Without the database nothing can be accepted. Everything else delays what was accepted, or (Redis) the news of it.
_NEEDED = frozenset({"database", "walletStock"})


@dataclass(frozen=True)
class Finding:
    status: str = "ok"
    facts: Mapping[str, Any] = field(default_factory=dict)


class HealthReport:
    """The checks of one process."""

    def __init__(self, services: Services) -> None:
        settings = services.settings
        self._checks: Mapping[str, Callable[[], Awaitable[Finding]]] = {
            "database": lambda: _database(services.database),
            "redis": lambda: _redis(services),
            "temporal": lambda: _connects(settings.temporal_address),
            "horizon": lambda: _answers(settings.horizon_url),
            "trustlessWork": lambda: _answers(settings.trustless_work_url),
            "walletStock": lambda: _wallet_stock(services.database),
        }
        self._read_at = -_FRESH_S
        self._report: dict[str, Any] = {}
        self._reading = asyncio.Lock()

    async def read(self) -> dict[str, Any]:
        async with self._reading:
            if time.monotonic() - self._read_at >= _FRESH_S:
                found = await asyncio.gather(*(_timed(check) for check in self._checks.values()))
                checks = dict(zip(self._checks, found, strict=True))
                self._report = {"status": _overall(checks), "checks": checks}
                self._read_at = time.monotonic()
            return self._report


def _overall(checks: Mapping[str, Mapping[str, Any]]) -> str:
    if any(checks[name]["status"] == "down" for name in _NEEDED):
        return "down"
    return "ok" if all(check["status"] == "ok" for check in checks.values()) else "degraded"


async def _timed(check: Callable[[], Awaitable[Finding]]) -> dict[str, Any]:
    began = time.monotonic()
    try:
        async with asyncio.timeout(_LIMIT_S):
            finding = await check()
    except TimeoutError:
        finding = Finding("down", {"message": f"no answer within {_LIMIT_S:.0f} s"})
    except Exception as error:  # noqa: BLE001 any failure of a check is its result
        finding = Finding("down", {"message": type(error).__name__})
    return {"status": finding.status, "latencyMs": round((time.monotonic() - began) * 1_000), **finding.facts}


async def _database(database: Database) -> Finding:
    async with database.reading() as reader:
        await wallets.platform_key(reader, "FEE")
    return Finding()


async def _redis(services: Services) -> Finding:
    await services.redis.ping()
    return Finding()


async def _connects(address: str) -> Finding:
    host, _, port = address.rpartition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.close()
    return Finding()


async def _answers(url: str) -> Finding:
    """The server behind an address speaks HTTP; which answer it gives does not matter, so no request budget is spent."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    reader, writer = await asyncio.open_connection(
        parts.hostname, parts.port or (443 if secure else 80), ssl=ssl.create_default_context() if secure else None
    )
    try:
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode())
        line = await reader.readline()
    finally:
        writer.close()
    words = line.split()
    if len(words) < 2 or not words[0].startswith(b"HTTP/"):
        return Finding("down", {"message": "does not speak HTTP"})
    return Finding("degraded", {"message": f"answers {words[1].decode()}"}) if words[1].startswith(b"5") else Finding()


async def _wallet_stock(database: Database) -> Finding:
    async with database.reading() as reader:
        stock = await wallets.stock(reader)
        accounts = await wallets.platform_accounts(reader)
    ready_kinds = {account.kind for account in accounts if account.state == "READY"}
    facts: dict[str, Any] = {"ready": stock.ready, "waitingUsers": stock.waiting_users}
    missing = _PLATFORM_KINDS - ready_kinds
    if missing:
        return Finding("down", {**facts, "message": f"platform accounts being prepared: {', '.join(sorted(missing))}"})
    return Finding("ok" if stock.ready else "degraded", facts)
