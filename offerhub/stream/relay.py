"""Gives committed events their position and carries them to Redis, where every API process reads them."""

from __future__ import annotations

import asyncio
import time

from redis.asyncio import Redis
from redis.exceptions import RedisError

from offerhub.domain.context import Context
from offerhub.storage import events
from offerhub.storage.events import EventRecord
from offerhub.storage.unit_of_work import EVENTS_WRITTEN, Database
from offerhub.stream.envelope import pack
from offerhub.stream.nudges import Nudges
from offerhub.stream.stopping import told_to_stop
from offerhub.telemetry.logs import get_logger

STREAM = "offerhub:events"
EVENT_FIELD = b"event"
KEPT_EVENTS = 1_000
KEPT_MS = 3_600_000
BATCH = 500
_IDLE_POLL_S = 0.25
# Under load a pass per commit would cost more than the commits: what comes within this time shares one.
_GATHER_S = 0.02
_RETRY_S = 1.0
_TRIM_EVERY_S = 60.0
_RELAY = Context(actor_id="system", correlation_id="relay")
_log = get_logger(__name__)


class Relay:
    """Any number may run; an advisory lock lets one of them number at a time. ``nudges`` must know ``EVENTS_WRITTEN``."""

    def __init__(self, database: Database, redis: Redis, nudges: Nudges) -> None:
        self._database = database
        self._redis = redis
        self._nudges = nudges
        self._trim_at = 0.0

    async def run(self) -> None:
        """Until canceled. A database that is away is waited for; a Redis that is away costs readers a poll interval."""
        while not told_to_stop():
            try:
                numbered = await self.relay_once()
            except Exception as error:  # noqa: BLE001 whatever it was, the next pass starts from what is committed
                _log.warning("relay.failed", error=repr(error))
                await asyncio.sleep(_RETRY_S)
                continue
            if numbered:
                await asyncio.sleep(_GATHER_S)
            if numbered < BATCH:
                await self._nudges.wait(EVENTS_WRITTEN, _IDLE_POLL_S)

    async def relay_once(self) -> int:
        """Number one batch; returns how many. They are pushed after the commit, so nobody hears of what may still roll back."""
        async with self._database.transaction(_RELAY) as transaction:
            numbered = await events.number_committed(transaction, BATCH)
        if numbered:
            await self._push(numbered)
        return len(numbered)

    async def _push(self, numbered: list[EventRecord]) -> None:
        try:
            async with self._redis.pipeline(transaction=False) as pipeline:
                for record in numbered:
                    pipeline.xadd(STREAM, {EVENT_FIELD: pack(record)}, maxlen=KEPT_EVENTS, approximate=True)
                if time.monotonic() > self._trim_at:
                    pipeline.xtrim(STREAM, minid=str(int(time.time() * 1_000) - KEPT_MS))
                    self._trim_at = time.monotonic() + _TRIM_EVERY_S
                await pipeline.execute()
        except (RedisError, OSError) as error:
            _log.warning("relay.redis_away", error=repr(error), from_position=numbered[0].position, to_position=numbered[-1].position)
