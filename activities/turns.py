"""Wait for a source account's turn.

Who is nearly first waits inside the activity: a retry would cost the server far more than a sleep. Who is far back comes again later,
the later the farther: a long queue for one account must not fill the worker's slots and keep the first from being served.
"""

from __future__ import annotations

import asyncio
import time

from activities.failures import WaitingError
from offerhub.commands import attempts as attempt_commands
from offerhub.commands.attempts import Turn
from offerhub.domain.context import Context
from offerhub.storage.unit_of_work import Database

_PATIENCE_S = 5
_POLL_S = 0.15
_NEARLY_FIRST = 3
_TURNS_PER_S = 4
# Well below the time after which a waiter counts as absent (``offerhub.storage.attempts.ABSENCE``).
_LONGEST_PAUSE_S = 30


async def await_turn(database: Database, context: Context, source: str, intent_id: str) -> Turn:
    """Raises ``WaitingError`` while others are ahead; the place in the queue is kept."""
    patient_until = time.monotonic() + _PATIENCE_S
    while True:
        async with database.transaction(context) as transaction:
            turn = await attempt_commands.take_turn(transaction, source, intent_id)
        if turn.ahead == 0:
            return turn
        if turn.ahead > _NEARLY_FIRST or time.monotonic() > patient_until:
            pause_s = min(max(1, turn.ahead // _TURNS_PER_S), _LONGEST_PAUSE_S)
            raise WaitingError(f"Waiting for account {source}: {turn.ahead} transaction(s) ahead.", pause_s)
        await asyncio.sleep(_POLL_S)
