"""What is done beside the workers. Once a minute operations nobody works on any more are told again, expired answers and old deliveries
are forgotten; once an hour the contracts that could not be emptied after their last milestone are looked at again.
"""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

from offerhub.commands.order_facts import NEXT_TRY_AFTER
from offerhub.commands.remainder import tell_not_emptied
from offerhub.domain.context import Context
from offerhub.storage import api_tokens, idempotency, operations, webhooks
from offerhub.storage.unit_of_work import Database
from offerhub.stream.stopping import told_to_stop
from offerhub.telemetry.logs import get_logger

EVERY_S = 60.0
# Far longer than an operation takes on a healthy network; a repeated message is harmless.
FORGOTTEN_AFTER = timedelta(minutes=10)
_HOUSEKEEPING = Context("system", "housekeeping")
_log = get_logger(__name__)


async def keep_house(database: Database) -> None:
    """Until canceled; several processes may do it."""
    empty_at = 0.0
    while True:
        try:
            told = await keep_house_once(database, FORGOTTEN_AFTER)
            if time.monotonic() >= empty_at:
                await empty_contracts(database)
                empty_at = time.monotonic() + NEXT_TRY_AFTER.total_seconds()
        except Exception as error:  # noqa: BLE001 - the next minute starts from the committed rows
            _log.warning("housekeeping.interrupted", error=repr(error)[:300])
        else:
            if told:
                _log.warning("housekeeping.told_again", operations=told)
        if told_to_stop():
            return
        await asyncio.sleep(EVERY_S)


async def keep_house_once(database: Database, forgotten_after: timedelta) -> int:
    """Returns how many operations will be told to their workflows again."""
    async with database.transaction(_HOUSEKEEPING) as transaction:
        await idempotency.purge(transaction)
        await api_tokens.purge(transaction)
        await webhooks.purge(transaction)
        return await operations.tell_again(transaction, forgotten_after)


async def empty_contracts(database: Database) -> None:
    async with database.transaction(_HOUSEKEEPING) as transaction:
        await tell_not_emptied(transaction, transaction.now - NEXT_TRY_AFTER)
