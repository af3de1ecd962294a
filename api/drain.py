"""Whether this instance takes new money, as one process knows it."""

from __future__ import annotations

import time

from offerhub.commands.maintenance import refusal_while_draining
from offerhub.domain.errors import DomainError
from offerhub.storage import maintenance
from offerhub.storage.maintenance import Maintenance
from offerhub.storage.unit_of_work import DATABASE_AWAY, Database

_FRESH_S = 0.5


class Drain:
    """The row is remembered for half a second, so a change holds in every process within one."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = float("-inf")
        self._state = Maintenance(draining=False)

    async def state(self) -> Maintenance:
        if time.monotonic() - self._read_at >= _FRESH_S:
            read_at = time.monotonic()
            async with self._database.reading() as reader:
                self._state = await maintenance.get(reader)
            self._read_at = read_at
        return self._state

    async def refusal(self) -> DomainError | None:
        """What a request that would move money is told, if anything."""
        return refusal_while_draining(await self.state())

    async def is_draining(self) -> bool | None:
        """For reports, which are given without a database too: None when nobody can tell."""
        try:
            return (await self.state()).draining
        except DATABASE_AWAY:
            return None

    def forget(self) -> None:
        """Ask again next time: this process has just changed it."""
        self._read_at = float("-inf")
