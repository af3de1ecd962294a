"""Seals committed audit entries into their chain and tells, from time to time, where the chain has got to."""

from __future__ import annotations

import asyncio
import time

from offerhub.domain.audit import AuditEntry
from offerhub.domain.context import Context
from offerhub.domain.events import Event
from offerhub.storage import audit
from offerhub.storage.unit_of_work import Database
from offerhub.stream.stopping import told_to_stop
from offerhub.telemetry.logs import get_logger

BATCH = 500
HEAD_EVERY_S = 300.0
_IDLE_POLL_S = 0.5
_RETRY_S = 1.0
_SEALER = Context(actor_id="system", correlation_id="sealer")
_log = get_logger(__name__)


class Sealer:
    """Any number may run; an advisory lock lets one of them seal at a time. Commands never wait for it."""

    def __init__(self, database: Database, head_every_s: float = HEAD_EVERY_S) -> None:
        self._database = database
        self._head_every_s = head_every_s
        self._tell_at = time.monotonic() + head_every_s

    async def run(self) -> None:
        """Until canceled."""
        while not told_to_stop():
            try:
                sealed = await self.seal_once()
            except Exception as error:  # noqa: BLE001 whatever it was, the next pass starts from what is committed
                _log.warning("sealer.failed", error=repr(error))
                await asyncio.sleep(_RETRY_S)
                continue
            if sealed < BATCH:
                await asyncio.sleep(_IDLE_POLL_S)

    async def seal_once(self) -> int:
        """Seal one batch; returns how many."""
        telling = None
        async with self._database.transaction(_SEALER) as transaction:
            sealed = await audit.seal_committed(transaction, BATCH)
            if sealed and time.monotonic() >= self._tell_at:
                telling = sealed[-1]
                transaction.emit(Event("audit.head", "audit", {"sequence": str(telling.sequence), "hash": str(telling.hash)}))
        if telling is not None:
            self._tell(telling)
        return len(sealed)

    def _tell(self, head: AuditEntry) -> None:
        """In the log as well as in the event stream: a rewritten chain would have to agree with both, wherever they were carried to."""
        _log.info("audit.head", sequence=head.sequence, hash=head.hash)
        self._tell_at = time.monotonic() + self._head_every_s
