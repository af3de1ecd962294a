"""Follow the network's payments: what reaches one of our wallets is credited together with the position it was read at."""

from __future__ import annotations

import asyncio
import contextlib
import time

from temporalio import activity

from activities.failures import WaitingError
from activities.stream_guard import StreamGuard, StreamHalted
from offerhub.commands.deposits import accept_gap, book_payments, halt_deposits, keep_anchor, payments_stream
from offerhub.commands.reconciliation import request_run
from offerhub.domain.context import Context
from offerhub.domain.payments import ledger_of
from offerhub.stellar.horizon import PAGE_RECORDS, Horizon, HorizonUnavailable
from offerhub.stellar.horizon_records import PaymentRecord
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.payments import incoming_payments
from offerhub.storage.streams import StreamState
from offerhub.storage.unit_of_work import Database
from offerhub.telemetry.logs import get_logger

RUN_S = 24 * 3600
RECONNECT_S = 0.2
SLOWEST_RECONNECT_S = 5.0
CHECK_EVERY_S = 55
LOOK_AGAIN_S = 10
_SYSTEM = Context("system", "deposits", workflow_id="deposits")
_log = get_logger(__name__)


class DepositActivities:
    def __init__(self, database: Database, horizon: Horizon, network: StellarNetwork) -> None:
        self._database = database
        self._horizon = horizon
        self._network = network
        self._guard = StreamGuard(horizon, network)
        self._pause_s = RECONNECT_S
        self._checked_at = float("-inf")

    @activity.defn
    async def open_payments_cursor(self) -> str:
        """The persisted position; on the very first call, where the chain is now."""
        known = await self._stream()
        if known is not None:
            return known.cursor
        ledger = await self._horizon.latest_ledger()
        # Paging tokens start with the ledger number: this one lies before every payment of that ledger.
        start = str(ledger.sequence << 32)
        async with self._database.transaction(_SYSTEM) as transaction:
            known = await payments_stream(transaction)
            if known is None:
                await book_payments(transaction, [], start)
            return known.cursor if known else start

    @activity.defn
    async def follow_payments(self) -> str:
        """Read and book for a day, through every interruption of the stream; returns the position reached.

        When reading on would miss payments this fails with the reason, again and again, until the reason is gone.
        """
        until = time.monotonic() + RUN_S
        self._checked_at = float("-inf")
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            while time.monotonic() < until and not stopping.done():
                following = asyncio.create_task(self._connect(until))
                try:
                    await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not following.done():
                        following.cancel()
                    with contextlib.suppress(asyncio.CancelledError):
                        await following
        finally:
            stopping.cancel()
        return await self.open_payments_cursor()

    @activity.defn
    async def accept_payments_gap(self, note: str) -> str:
        """Go on from the oldest ledger there is; what came before it is left to a reconciliation, which is asked for here."""
        oldest, stream = await self._guard.oldest_ledger(), await self._stream()
        if stream is None or stream.halted_reason is None or oldest <= ledger_of(stream.cursor):
            return "There is no gap to accept."
        async with self._database.transaction(_SYSTEM) as transaction:
            await accept_gap(transaction, oldest, note)
            await request_run(transaction, "halt")
        return f"Reading goes on from ledger {oldest}; before that, the history up to {ledger_of(stream.cursor)} was read."

    async def _connect(self, until: float) -> None:
        """Read one connection to its end."""
        try:
            cursor = await self._checked_cursor()
            activity.heartbeat(cursor)
            await self._follow(cursor, until)
            self._pause_s = RECONNECT_S
        except HorizonUnavailable as error:
            _log.warning("deposits.stream_interrupted", reason=error.message, retry_in_s=self._pause_s)
            self._checked_at = float("-inf")
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, SLOWEST_RECONNECT_S)

    async def _checked_cursor(self) -> str:
        """Where to read on, on a chain that was looked at within the last minute."""
        cursor = await self.open_payments_cursor()
        if time.monotonic() - self._checked_at < CHECK_EVERY_S:
            return cursor
        stream = await self._stream()
        assert stream is not None, "opened above"
        try:
            anchor = await self._guard.check(stream)
        except StreamHalted as halted:
            await self._halt(str(halted), cursor)
            raise WaitingError(f"Deposits are not being read. {halted}", LOOK_AGAIN_S) from None
        async with self._database.transaction(_SYSTEM) as transaction:
            await keep_anchor(transaction, anchor)
        self._checked_at = time.monotonic()
        return cursor

    async def _halt(self, reason: str, cursor: str) -> None:
        _log.error("deposits.halted", reason=reason, cursor=cursor)
        async with self._database.transaction(_SYSTEM) as transaction:
            if await halt_deposits(transaction, reason, cursor):
                await request_run(transaction, "halt")

    async def _follow(self, cursor: str, until: float) -> None:
        """One connection: a reader fills the queue while a batch is being booked, so that each batch takes all there is."""
        queue: asyncio.Queue[PaymentRecord | None] = asyncio.Queue(maxsize=2 * PAGE_RECORDS)
        reading = asyncio.create_task(self._read(cursor, queue))
        try:
            while time.monotonic() < until:
                batch = await _next_batch(queue)
                if not batch:
                    break
                await self._book(batch)
        finally:
            if not reading.done():
                reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reading

    async def _read(self, cursor: str, queue: asyncio.Queue[PaymentRecord | None]) -> None:
        try:
            async for record in self._horizon.stream_payments(cursor):
                await queue.put(record)
        finally:
            await queue.put(None)

    async def _book(self, batch: list[PaymentRecord]) -> None:
        payments = [payment for record in batch for payment in incoming_payments(record.body, self._network.usdc_issuer)]
        async with self._database.transaction(_SYSTEM) as transaction:
            credited = await book_payments(transaction, payments, batch[-1].paging_token)
        activity.heartbeat(batch[-1].paging_token)
        if credited:
            _log.info("deposits.credited", credited=credited, cursor=batch[-1].paging_token)

    async def _stream(self) -> StreamState | None:
        async with self._database.reading() as reader:
            return await payments_stream(reader)


async def _next_batch(queue: asyncio.Queue[PaymentRecord | None]) -> list[PaymentRecord]:
    """Wait for one record and take whatever else is there; empty when the stream has ended."""
    batch: list[PaymentRecord] = []
    record = await queue.get()
    while record is not None:
        batch.append(record)
        if queue.empty() or len(batch) == PAGE_RECORDS:
            return batch
        record = queue.get_nowait()
    if batch:
        queue.put_nowait(None)
    return batch
