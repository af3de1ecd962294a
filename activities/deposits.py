"""Follow the network's payments: what reaches one of our wallets is credited together with the position it was read at."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import datetime

from temporalio import activity

from offerhub.commands.deposits import book_payments, payments_cursor
from offerhub.domain.context import Context
from offerhub.domain.money import USDC
from offerhub.domain.payments import IncomingPayment
from offerhub.stellar.horizon import PAGE_RECORDS, Horizon, HorizonUnavailable
from offerhub.stellar.horizon_records import PaymentRecord
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.payments import incoming_payments
from offerhub.storage.unit_of_work import Database
from offerhub.telemetry.logs import get_logger

RUN_S = 24 * 3600
RECONNECT_S = 0.2
SLOWEST_RECONNECT_S = 5.0
_SYSTEM = Context("system", "deposits", workflow_id="deposits")
_log = get_logger(__name__)


class DepositActivities:
    def __init__(self, database: Database, horizon: Horizon, network: StellarNetwork) -> None:
        self._database = database
        self._horizon = horizon
        self._network = network
        self._pause_s = RECONNECT_S

    @activity.defn
    async def open_payments_cursor(self) -> str:
        """The persisted position; on the very first call, where the chain is now."""
        cursor = await self._cursor()
        if cursor is not None:
            return cursor
        ledger = await self._horizon.latest_ledger()
        # Paging tokens start with the ledger number: this one lies before every payment of that ledger.
        start = str(ledger.sequence << 32)
        async with self._database.transaction(_SYSTEM) as transaction:
            known = await payments_cursor(transaction)
            if known is None:
                await book_payments(transaction, [], start)
            return known or start

    @activity.defn
    async def follow_payments(self) -> str:
        """Read and book for a day, through every interruption of the stream; returns the position reached."""
        until = time.monotonic() + RUN_S
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            while time.monotonic() < until and not stopping.done():
                following = asyncio.create_task(self._connect(until))
                try:
                    await asyncio.wait([following, stopping], return_when=asyncio.FIRST_COMPLETED)
                finally:
                    # Also when the activity itself is canceled: its successor must be the only reader.
                    if not following.done():
                        following.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await following
        finally:
            stopping.cancel()
        return await self.open_payments_cursor()

    async def _connect(self, until: float) -> None:
        """Read one connection to its end."""
        try:
            cursor = await self.open_payments_cursor()
            activity.heartbeat(cursor)
            await self._follow(cursor, until)
            self._pause_s = RECONNECT_S
        except HorizonUnavailable as error:
            _log.warning("deposits.stream_interrupted", reason=error.message, retry_in_s=self._pause_s)
            await asyncio.sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, SLOWEST_RECONNECT_S)

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
        payments = [payment for record in batch for payment in self._payments(record)]
        async with self._database.transaction(_SYSTEM) as transaction:
            credited = await book_payments(transaction, payments, batch[-1].paging_token)
        activity.heartbeat(batch[-1].paging_token)
        if credited:
            _log.info("deposits.credited", credited=credited, cursor=batch[-1].paging_token)

    def _payments(self, record: PaymentRecord) -> list[IncomingPayment]:
        return [
            IncomingPayment(
                chain_operation=payment.operation_id,
                change_index=payment.index,
                transaction_hash=payment.transaction_hash,
                sender=payment.sender,
                recipient=payment.recipient,
                amount_stroops=payment.amount_stroops,
                asset=USDC if payment.is_usdc else "another asset",
                closed_at=datetime.fromisoformat(payment.created_at),
                memo=payment.memo,
            )
            for payment in incoming_payments(record.body, self._network.usdc_issuer)
        ]

    async def _cursor(self) -> str | None:
        async with self._database.reading() as reader:
            return await payments_cursor(reader)


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
