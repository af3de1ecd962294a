"""The running ledger: a chain, a clock that closes its ledgers, and everybody who waits for a close."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import defaultdict, deque
from dataclasses import dataclass
from pathlib import Path

from stellar_sdk import Asset

from sandbox.contracts.interface import ContractInstance, ContractResult, Invocation
from sandbox.identities import usdc_asset
from sandbox.ledger import soroban
from sandbox.ledger.chain import Chain, Submission, SubmissionStatus
from sandbox.ledger.context import LedgerMoment
from sandbox.ledger.disturbance import Disturbance
from sandbox.ledger.encoding import issuer_of
from sandbox.ledger.entries import Account
from sandbox.ledger.envelope import Envelope, decode_envelope
from sandbox.ledger.records import TransactionRecord
from sandbox.ledger.state import PAST_LEDGERS, Overlay, State
from sandbox.ledger.store import Store, StoredTransaction
from sandbox.ledger.tokens import TokenBook
from sandbox.trustless.ports import AppliedTransaction, SubmissionOutcome

_LOG = logging.getLogger(__name__)
SUBMISSION_TIMEOUT_S = 30.0
_IDLE_INTERVAL_S = 1.0
_FEE_STATS_LEDGERS = 5


@dataclass(frozen=True)
class FeeSample:
    """Fees of one transaction per operation, as fee_stats reports them."""

    charged: int
    bid: int


class Ledger:
    """Implements ``sandbox.trustless.ports.Ledger``.

    ``interval_s`` 0 closes a ledger as soon as anything is queued (and one a second when idle, so that time bounds
    run out); None closes only when ``close`` is called.
    """

    def __init__(self, home: Path, network_passphrase: str, interval_s: float | None) -> None:
        self._offset_s = 0
        self._chain = Chain(home, network_passphrase, self.now())
        self._offset_s = int(self._chain.store.meta("clock_offset_s") or 0)
        self._interval_s = interval_s
        self._due = time.monotonic() + (interval_s or 0)
        self._wake = asyncio.Event()
        self._closed = asyncio.Event()
        self._waiting: defaultdict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._loop: asyncio.AbstractEventLoop | None = None
        self.ending = False
        self._close_times: deque[tuple[int, float]] = deque([(self.latest_ledger, 0.0)], maxlen=PAST_LEDGERS)
        self.fee_samples: deque[list[FeeSample]] = deque(maxlen=_FEE_STATS_LEDGERS)

    @property
    def interval_s(self) -> float | None:
        """As it is now: None also while a fault keeps the ledger from closing."""
        return None if self.state.disturbance.stopped else self._interval_s

    def disturb(self, disturbance: Disturbance) -> None:
        self.state.disturbance = disturbance

    def reconsider(self) -> None:
        """The interval may have changed."""
        self._wake.set()

    @property
    def network_passphrase(self) -> str:
        return self._chain.network_passphrase

    @property
    def usdc(self) -> Asset:
        return usdc_asset(self.network_passphrase)

    @property
    def store(self) -> Store:
        return self._chain.store

    @property
    def state(self) -> State:
        return self._chain.state

    @property
    def latest_ledger(self) -> int:
        return self._chain.header.sequence

    @property
    def closed_at(self) -> int:
        return self._chain.header.closed_at

    @property
    def clock_offset_s(self) -> int:
        return self._offset_s

    def now(self) -> int:
        return int(time.time()) + self._offset_s

    async def run(self) -> None:
        """Close ledgers until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            try:
                async with asyncio.timeout(self._delay_s()):
                    await self._wake.wait()
            except TimeoutError:
                self.close()
                continue
            self._wake.clear()
            if self.interval_s == 0 and len(self._chain.queue):
                self.close()

    def stop(self) -> None:
        self._chain.store.close()

    def set_interval(self, interval_s: float | None) -> None:
        self._interval_s = interval_s
        self._due = time.monotonic() + (interval_s or 0)
        self._wake.set()

    def advance_clock(self, seconds: int) -> None:
        """Move ledger time forward for good, and close a ledger so that everybody sees it."""
        self._offset_s += seconds
        self._chain.store.set_meta("clock_offset_s", str(self._offset_s))
        self.close()

    def close(self) -> None:
        """Close one ledger now. What cannot be committed must not be shown either: then the process ends."""
        try:
            records = self._chain.close_ledger(self.now())
        except Exception:  # noqa: BLE001 (whatever it was, memory is now ahead of the file)
            _LOG.critical("a ledger could not be closed; ending, to start again from the last one", exc_info=True)
            os._exit(1)
        self._due = time.monotonic() + (self.interval_s or _IDLE_INTERVAL_S)
        self._close_times.append((self.latest_ledger, time.monotonic()))
        self._sample_fees(records)
        for record in records:
            for transaction_hash in (record.hash, record.inner_hash):
                for waiter in self._waiting.pop(transaction_hash or "", ()):
                    if not waiter.done():
                        waiter.set_result(None)
        closed, self._closed = self._closed, asyncio.Event()
        closed.set()

    def closed_before(self, seconds: float) -> int:
        """The newest ledger that closed at least so long ago; the oldest one remembered if none did."""
        limit = time.monotonic() - seconds
        return next((ledger for ledger, closed in reversed(self._close_times) if closed <= limit), self._close_times[0][0])

    async def next_close(self) -> None:
        """Return when the next ledger has closed, or the process is about to end."""
        await self._closed.wait()

    async def end(self) -> None:
        """Return when the process is about to end."""
        while not self.ending:
            await self.next_close()

    def announce_end(self) -> None:
        """From a signal handler: let whoever waits for a close finish."""
        self.ending = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._closed.set)

    def decode(self, envelope_xdr: str) -> Envelope:
        """Raises MalformedEnvelope."""
        return decode_envelope(envelope_xdr, self.network_passphrase)

    def enqueue(self, envelope: Envelope) -> Submission:
        """Core's immediate answer."""
        latest = self.now() + int(2 * (self.interval_s or 0))
        submission = self._chain.submit(envelope, latest)
        if submission.status is SubmissionStatus.PENDING and self.interval_s == 0:
            self._wake.set()
        return submission

    def find(self, transaction_hash: str) -> StoredTransaction | None:
        """By outer or inner hash."""
        return self._chain.store.transaction(transaction_hash)

    async def applied(self, transaction_hash: str) -> StoredTransaction:
        """Wait for a transaction to be in a closed ledger; raises TimeoutError after 30 s."""
        found = self.find(transaction_hash)
        if found is not None:
            return found
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[transaction_hash].add(waiter)
        try:
            async with asyncio.timeout(SUBMISSION_TIMEOUT_S):
                await waiter
        finally:
            self._waiting.get(transaction_hash, set()).discard(waiter)
            if not self._waiting.get(transaction_hash, True):
                del self._waiting[transaction_hash]
        found = self.find(transaction_hash)
        assert found is not None
        return found

    async def submit(self, envelope_xdr: str) -> SubmissionOutcome:
        """Queue and wait; raises TimeoutError (also where core said TRY_AGAIN_LATER) and MalformedEnvelope."""
        submission = self.enqueue(self.decode(envelope_xdr))
        if submission.outcome is not None:
            known = self.find(submission.hash)
            if known is None:
                codes = submission.outcome.result_codes()
                return SubmissionOutcome(submission.hash, False, codes["transaction"], tuple(codes.get("operations", ())))
        found = await self.applied(submission.hash)
        codes = found.outcome["result_codes"]
        return SubmissionOutcome(
            found.hash,
            found.successful,
            codes["transaction"],
            tuple(codes.get("operations", ())),
            found.outcome["contract_failure"],
        )

    def account(self, address: str) -> Account | None:
        return self.state.account(address)

    def account_sequence(self, address: str) -> int | None:
        account = self.state.account(address)
        return None if account is None else account.sequence

    def has_trustline(self, address: str, code: str, issuer: str) -> bool:
        account = self.state.account(address)
        return account is not None and (address == issuer or f"{code}:{issuer}" in account.trustlines)

    def token_balance(self, asset_contract: str, address: str) -> int:
        asset = self.state.asset_of_contract(asset_contract)
        if asset is None or issuer_of(asset) == address:
            return 0
        return TokenBook(Overlay(self.state), self.network_passphrase, self.latest_ledger).balance(asset, address)

    def contract_instance(self, contract_id: str) -> ContractInstance | None:
        return self.state.instance(contract_id)

    def simulate(self, invocation: Invocation) -> ContractResult:
        moment = LedgerMoment(self.network_passphrase, self.latest_ledger + 1, self.now())
        return soroban.simulate(invocation, Overlay(self.state), moment)

    def transaction(self, transaction_hash: str) -> AppliedTransaction | None:
        found = self.find(transaction_hash)
        if found is None:
            return None
        document = found.document
        return AppliedTransaction(found.hash, found.successful, document["envelope_xdr"], document["ledger"])

    def _delay_s(self) -> float | None:
        return None if self.interval_s is None else max(0.0, self._due - time.monotonic())

    def _sample_fees(self, records: list[TransactionRecord]) -> None:
        samples = []
        for record in records:
            units = max(1, len(record.operations))
            document = record.document
            samples.append(FeeSample(int(document["fee_charged"]) // units, int(document["max_fee"]) // units))
        self.fee_samples.append(samples)
