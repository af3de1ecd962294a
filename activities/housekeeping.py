"""What is done once a minute beside the workers: operations nobody works on any more are told again, expired answers and old
deliveries are forgotten.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta

from offerhub.domain.context import Context
from offerhub.storage import api_tokens, idempotency, operations, webhooks
from offerhub.storage.unit_of_work import Database
from offerhub.telemetry.logs import get_logger

EVERY_S = 60.0
# Far longer than an operation takes on a healthy network; a repeated message is harmless.
FORGOTTEN_AFTER = timedelta(minutes=10)
_HOUSEKEEPING = Context("system", "housekeeping")
_log = get_logger(__name__)


async def keep_house(database: Database) -> None:
    """Until canceled; several processes may do it."""
    while True:
        try:
            told = await keep_house_once(database, FORGOTTEN_AFTER)
        except Exception as error:  # noqa: BLE001 - the next minute starts from the committed rows
            _log.warning("housekeeping.interrupted", error=repr(error)[:300])
        else:
            if told:
                _log.warning("housekeeping.told_again", operations=told)
        await asyncio.sleep(EVERY_S)


async def keep_house_once(database: Database, forgotten_after: timedelta) -> int:
    """Returns how many operations will be told to their workflows again."""
    async with database.transaction(_HOUSEKEEPING) as transaction:
        await idempotency.purge(transaction)
        await api_tokens.purge(transaction)
        await webhooks.purge(transaction)
        return await operations.tell_again(transaction, forgotten_after)
