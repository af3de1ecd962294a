"""How many requests a minute: per API key once it is known, per address before that; withdrawals per user, streams counted separately.

Counted in Redis, so that all processes share one count, in windows of a minute that begin with the first request. What every process has
heard from Redis it also remembers: that is what it goes on counting by while Redis is away, and what refuses without asking.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.settings import Settings

WINDOW_S = 60
# A request waits no longer than this for Redis; after that nobody asks Redis for a second.
REDIS_TIMEOUT_S = 0.1
_AWAY_S = 1.0
_REMEMBERED = 10_000
_PREFIX = "offerhub:rate:"

# KEYS: counters. ARGV: window, then how much to add to each. Answer: for each counter its value and the milliseconds it has left.
_COUNT = """
local answer = {}
for i, key in ipairs(KEYS) do
  local used = redis.call('INCRBY', key, ARGV[i + 1])
  local left = redis.call('PTTL', key)
  if left < 0 then
    redis.call('PEXPIRE', key, ARGV[1])
    left = tonumber(ARGV[1])
  end
  answer[2 * i - 1], answer[2 * i] = used, left
end
return answer
"""


class Limit(StrEnum):
    """What is counted: requests of an address without a valid key, of a key, streams opened with a key, withdrawals of a user."""

    ADDRESS = "address"
    KEY = "key"
    STREAMS = "streams"
    WITHDRAWALS = "withdrawals"


@dataclass(frozen=True)
class Window:
    """Requests since the first of this minute; ``ends_at`` by the monotonic clock."""

    used: int
    ends_at: float


@dataclass(frozen=True)
class Quota:
    """Where a caller stands after this request."""

    kind: Limit
    limit: int
    window: Window

    @property
    def exceeded(self) -> bool:
        return self.window.used > self.limit

    @property
    def left_s(self) -> int:
        return max(math.ceil(self.window.ends_at - time.monotonic()), 1)

    def headers(self) -> dict[str, str]:
        """``X-RateLimit-Reset`` is a time, in seconds since 1970."""
        return {
            "X-RateLimit-Limit": str(self.limit),
            "X-RateLimit-Remaining": str(max(self.limit - self.window.used, 0)),
            "X-RateLimit-Reset": str(math.ceil(time.time() + self.window.ends_at - time.monotonic())),
        }

    def check(self) -> None:
        if self.exceeded:
            message = f"More than {self.limit} requests in a minute ({self.kind.value}); try again in {self.left_s} s."
            details = {"limit": self.limit, "counted": self.kind.value, "retryAfterSeconds": self.left_s}
            raise DomainError(ErrorCode.RATE_LIMITED, message, details)


class RateLimits:
    """A limit of 0 is off and has no quota."""

    def __init__(self, settings: Settings) -> None:
        self._limits: Mapping[Limit, int] = {
            Limit.ADDRESS: settings.rate_limit_address_per_minute,
            Limit.KEY: settings.rate_limit_key_per_minute,
            Limit.STREAMS: settings.rate_limit_streams_per_minute,
            Limit.WITHDRAWALS: settings.rate_limit_withdrawals_per_minute,
        }
        self._redis = Redis.from_url(settings.redis_url, retry=Retry(NoBackoff(), 0), socket_connect_timeout=REDIS_TIMEOUT_S)
        self._counters = Counters(self._redis)

    async def take(self, kind: Limit, who: str) -> Quota | None:
        """Count one; ``Quota.check`` says whether it was one too many."""
        limit = self._limits[kind]
        if limit == 0:
            return None
        return Quota(kind, limit, await self._counters.count(_name(kind, who), limit))

    async def check(self, kind: Limit, who: str) -> None:
        """Count one and raise ``RATE_LIMITED`` if it was one too many."""
        quota = await self.take(kind, who)
        if quota is not None:
            quota.check()

    def exhausted(self, kind: Limit, who: str) -> bool:
        """As far as this process knows, without counting or asking."""
        limit, window = self._limits[kind], self._counters.known(_name(kind, who))
        return limit > 0 and window is not None and window.used > limit

    async def close(self) -> None:
        await self._counters.close()
        await self._redis.aclose()


class Counters:
    """Counters by name. Requests that come while Redis is asked for others share the next question."""

    def __init__(self, redis: Redis) -> None:
        self._script = redis.register_script(_COUNT)
        self._windows: dict[str, Window] = {}
        self._waiting: dict[str, list[asyncio.Future[Window | None]]] = {}
        self._asker: asyncio.Task[None] | None = None
        self._away_until = 0.0

    async def count(self, name: str, limit: int) -> Window:
        """Add one, unless more than ``limit`` are counted already."""
        known = self.known(name)
        if known is not None and known.used > limit:
            return known
        shared = await self._shared(name)
        if shared is not None:
            return shared
        known = self.known(name) or Window(0, time.monotonic() + WINDOW_S)
        return self._remember(name, Window(known.used + 1, known.ends_at))

    def known(self, name: str) -> Window | None:
        window = self._windows.get(name)
        return window if window is not None and window.ends_at > time.monotonic() else None

    async def close(self) -> None:
        if self._asker is not None:
            self._asker.cancel()
            await asyncio.gather(self._asker, return_exceptions=True)

    async def _shared(self, name: str) -> Window | None:
        if time.monotonic() < self._away_until:
            return None
        answer: asyncio.Future[Window | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, []).append(answer)
        if self._asker is None or self._asker.done():
            self._asker = asyncio.create_task(self._ask(), name="rate limits")
        return await answer

    async def _ask(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, {}
            names, adding = [_PREFIX + name for name in waiting], [len(answers) for answers in waiting.values()]
            try:
                async with asyncio.timeout(REDIS_TIMEOUT_S):
                    counted = await self._script(keys=names, args=[int(WINDOW_S * 1000), *adding])
            except (RedisError, OSError, TimeoutError):
                self._away_until = time.monotonic() + _AWAY_S
                counted = None
            except BaseException:
                self._tell(waiting, None)
                raise
            self._tell(waiting, counted)

    def _tell(self, waiting: Mapping[str, list[asyncio.Future[Window | None]]], counted: list[int] | None) -> None:
        """Those who waited under one name were counted together: each is told the place it came to."""
        for place, (name, answers) in enumerate(waiting.items()):
            window = None
            if counted is not None:
                window = self._remember(name, Window(counted[2 * place], time.monotonic() + counted[2 * place + 1] / 1000))
            for after, answer in enumerate(reversed(answers)):
                if not answer.done():
                    answer.set_result(Window(window.used - after, window.ends_at) if window else None)

    def _remember(self, name: str, window: Window) -> Window:
        self._windows.pop(name, None)
        if len(self._windows) >= _REMEMBERED:
            del self._windows[next(iter(self._windows))]
        self._windows[name] = window
        return window


def _name(kind: Limit, who: str) -> str:
    return f"{kind.value}:{_network(who) if kind is Limit.ADDRESS else who}"


def _network(address: str) -> str:
    """Whoever has one IPv6 address has the 2^64 around it."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped is None:
        return str(ipaddress.ip_network((int(ip), 64), strict=False).network_address)
    return str(getattr(ip, "ipv4_mapped", None) or ip)
