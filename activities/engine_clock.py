"""Time as the engine has it: beside the workers of the ``orders`` role somebody looks, every second, which deadlines have passed.

The workflows' own timers wake them as well. This is for what they cannot know: that a sandbox's clock was advanced, and that a deadline
passed while everything was dead.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta

from offerhub.commands.deadlines import tell_passed
from offerhub.domain.context import Context
from offerhub.stellar.horizon import Horizon, HorizonUnavailable
from offerhub.storage import clock
from offerhub.storage.unit_of_work import Database
from offerhub.stream.stopping import told_to_stop
from offerhub.telemetry.logs import get_logger

EVERY_S = 1.0
# What passed this long ago is told again: its order may have been committed after the look that should have found it.
OVERLAP = timedelta(seconds=5)
# Now and then everything is told again, whenever it passed: nothing then depends on a single message.
ALL_AGAIN_S = 60.0
# Two clocks that are both right differ by less.
LEAST_LEAD_S = 5
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_CLOCK = Context("system", "clock")
_log = get_logger(__name__)


async def watch_deadlines(database: Database) -> None:
    """Until canceled. Several processes may do it; one looks at a time."""
    since, all_again_at = _EVER, 0.0
    while not told_to_stop():
        if time.monotonic() >= all_again_at:
            since, all_again_at = _EVER, time.monotonic() + ALL_AGAIN_S
        try:
            async with database.transaction(_CLOCK) as transaction:
                if await clock.is_mine_to_watch(transaction):
                    since = await tell_passed(transaction, since) - OVERLAP
        except Exception as error:  # noqa: BLE001 - whatever it was, the next look starts from the committed rows
            _log.warning("deadlines.interrupted", error=repr(error)[:300])
        await asyncio.sleep(EVERY_S)


async def follow_network_clock(database: Database, horizon: Horizon) -> None:
    """Until canceled; on a sandbox only. Its clock can be advanced, and the engine's goes with it."""
    ahead_s = LEAST_LEAD_S
    while not told_to_stop():
        try:
            lead_s = (await horizon.latest_ledger()).closed_at_unix - int(time.time())
            if lead_s > ahead_s:
                async with database.transaction(_CLOCK) as transaction:
                    if await clock.set_ahead(transaction, lead_s):
                        _log.info("clock.ahead", seconds=lead_s)
                ahead_s = lead_s
        except HorizonUnavailable:
            pass
        except Exception as error:  # noqa: BLE001 - the next look starts over
            _log.warning("clock.interrupted", error=repr(error)[:300])
        await asyncio.sleep(EVERY_S)
