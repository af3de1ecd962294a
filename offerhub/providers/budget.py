"""One budget of requests per minute, shared by every process through Redis, with the urgent calls first.

Trustless Work allows a key 50 requests in 60 seconds. Releases must not wait for deployments, so a class of lower priority leaves the last
slots of the window to the higher ones, and stands back for as long as one of those is waiting for a slot.
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from collections import deque
from contextlib import suppress
from enum import IntEnum

from redis.asyncio import Redis
from redis.exceptions import RedisError

# Their window is a minute. A request reaches them some time after its slot was granted: without a margin a slow one and a quick one that
# was granted a minute later would fall into one window of theirs.
WINDOW_MS = 62_000
# The one budget there is.
TRUSTLESS_WORK = "trustless-work"
# How long a refused call counts as waiting beyond the moment it was told to come back.
PATIENCE_MS = 2_000
# While a more urgent call waits, or only slots kept for such calls are left.
STAND_BACK_MS = 2_000
# News for the index is in no hurry, and is given up after some tries.
INDEX_STAND_BACK_MS = 20_000
REDIS_TIMEOUT_S = 1


class Priority(IntEnum):
    """Release and refund before fund before deploy before news for the index."""

    RELEASE = 0
    FUND = 1
    DEPLOY = 2
    INDEX = 3


# Percent of the window that each class leaves to those above it.
_LEFT_PERCENT = {Priority.RELEASE: 0, Priority.FUND: 20, Priority.DEPLOY: 40, Priority.INDEX: 50}

# KEYS: granted slots (sorted by time), blocked marker, waiting markers of the classes above, own waiting marker.
# ARGV: limit, slots left to others, window, stand-back, patience, unique member. Answer: 0 = granted, else milliseconds to wait.
_ACQUIRE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local limit, left = tonumber(ARGV[1]), tonumber(ARGV[2])
local window, stand_back, patience = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5])
local granted, blocked, own = KEYS[1], KEYS[2], KEYS[#KEYS]

redis.call('ZREMRANGEBYSCORE', granted, '-inf', now - window)
local used = redis.call('ZCARD', granted)
local wait = math.max(redis.call('PTTL', blocked), 0)
if wait == 0 and used >= limit then
  local oldest = redis.call('ZRANGE', granted, 0, 0, 'WITHSCORES')
  wait = math.max(tonumber(oldest[2]) + window - now, 1)
elseif wait == 0 and used >= limit - left then
  wait = stand_back
elseif wait == 0 then
  for i = 3, #KEYS - 1 do
    if redis.call('EXISTS', KEYS[i]) == 1 then wait = stand_back end
  end
end
if wait > 0 then
  redis.call('SET', own, 1, 'PX', math.ceil(wait + patience))
  return math.ceil(wait)
end
redis.call('ZADD', granted, now, ARGV[6])
redis.call('PEXPIRE', granted, window)
return 0
"""


class RequestBudget:
    """``per_minute`` 0 switches it off. While Redis is away each process keeps to the whole budget by itself."""

    def __init__(self, redis: Redis, name: str, per_minute: int) -> None:
        self._redis = redis
        self._script = redis.register_script(_ACQUIRE)
        prefix = _prefix(name)
        self._granted, self._blocked = _granted_key(name), f"{prefix}:blocked"
        self._waiting = {priority: f"{prefix}:waiting:{priority.name.lower()}" for priority in Priority}
        self._per_minute = per_minute
        self._local = LocalBudget(per_minute)

    async def acquire(self, priority: Priority) -> int | None:
        """Take a slot now (None) or learn in how many seconds to come back. A refused call counts as waiting until then."""
        if self._per_minute == 0:
            return None
        keys = [self._granted, self._blocked, *(self._waiting[above] for above in Priority if above < priority), self._waiting[priority]]
        left = slots_left_to_others(self._per_minute, priority)
        arguments: list[int | str] = [self._per_minute, left, WINDOW_MS, _stand_back_ms(priority), PATIENCE_MS, secrets.token_hex(8)]
        try:
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                wait_ms = int(await self._script(keys=keys, args=arguments))
        except (RedisError, OSError, TimeoutError):
            wait_ms = self._local.acquire(priority)
        return math.ceil(wait_ms / 1000) if wait_ms else None

    async def block(self, retry_after_s: int) -> None:
        """Nobody takes a slot for so long: the other side has said 429."""
        self._local.block(retry_after_s)
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(REDIS_TIMEOUT_S):
                await self._redis.set(self._blocked, 1, px=retry_after_s * 1000)


async def requests_used(redis: Redis, name: str) -> int | None:
    """How many requests of a budget were granted within the last minute; None while Redis is away."""
    try:
        async with asyncio.timeout(REDIS_TIMEOUT_S):
            return int(await redis.zcount(_granted_key(name), time.time_ns() // 1_000_000 - 60_000, "+inf"))
    except (RedisError, OSError, TimeoutError):
        return None


def _granted_key(name: str) -> str:
    return f"{_prefix(name)}:granted"


def _prefix(name: str) -> str:
    return f"offerhub:budget:{{{name}}}"


class LocalBudget:
    """The same window for one process, without the queue of waiting classes: a stopgap while Redis is away."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        self._granted_ms: deque[int] = deque()
        self._blocked_until_ms = 0

    def acquire(self, priority: Priority) -> int:
        """Milliseconds to wait; 0 is a slot taken."""
        now_ms = time.monotonic_ns() // 1_000_000
        while self._granted_ms and self._granted_ms[0] <= now_ms - WINDOW_MS:
            self._granted_ms.popleft()
        if now_ms < self._blocked_until_ms:
            return self._blocked_until_ms - now_ms
        if len(self._granted_ms) >= self._per_minute:
            return max(self._granted_ms[0] + WINDOW_MS - now_ms, 1)
        if len(self._granted_ms) >= self._per_minute - slots_left_to_others(self._per_minute, priority):
            return _stand_back_ms(priority)
        self._granted_ms.append(now_ms)
        return 0

    def block(self, retry_after_s: int) -> None:
        self._blocked_until_ms = time.monotonic_ns() // 1_000_000 + retry_after_s * 1000


def _stand_back_ms(priority: Priority) -> int:
    return INDEX_STAND_BACK_MS if priority is Priority.INDEX else STAND_BACK_MS


def slots_left_to_others(per_minute: int, priority: Priority) -> int:
    return per_minute * _LEFT_PERCENT[priority] // 100
