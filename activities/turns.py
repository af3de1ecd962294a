"""Wait for a source account's turn inside the activity: its retry would cost the server far more than a sleep here."""

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


async def await_turn(database: Database, context: Context, source: str, intent_id: str) -> Turn:
    """Raises ``WaitingError`` when others are still ahead after a few seconds; the place in the queue is kept."""
    patient_until = time.monotonic() + _PATIENCE_S
    while True:
        async with database.transaction(context) as transaction:
            turn = await attempt_commands.take_turn(transaction, source, intent_id)
        if turn.ahead == 0:
            return turn
        if time.monotonic() > patient_until:
            raise WaitingError(f"Waiting for account {source}: {turn.ahead} transaction(s) ahead.")
        await asyncio.sleep(_POLL_S)
