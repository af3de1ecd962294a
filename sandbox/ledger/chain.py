"""The chain itself, without time or HTTP: takes envelopes into the queue, closes ledgers, keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from sandbox.ledger.application import apply_transaction
from sandbox.ledger.context import LedgerMoment
from sandbox.ledger.envelope import Envelope
from sandbox.ledger.genesis import populate
from sandbox.ledger.header import MAX_TX_SET_SIZE, Header, ledger_record
from sandbox.ledger.queue import TransactionQueue, TryAgainLater
from sandbox.ledger.records import TransactionRecord, transaction_record
from sandbox.ledger.results import TransactionOutcome, TransactionRefused
from sandbox.ledger.state import Overlay, State
from sandbox.ledger.store import Store
from sandbox.ledger.validity import ValidityWindow, check_validity


class ForeignLedger(Exception):
    """The home directory belongs to another network."""


class SubmissionStatus(Enum):
    PENDING = "PENDING"
    DUPLICATE = "DUPLICATE"
    TRY_AGAIN_LATER = "TRY_AGAIN_LATER"
    ERROR = "ERROR"


@dataclass(frozen=True)
class Submission:
    """Core's answer to an envelope; ``outcome`` is set for ERROR only."""

    status: SubmissionStatus
    hash: str
    outcome: TransactionOutcome | None = None


class Chain:
    """Everything here runs to its end without awaiting, so no reader ever sees half a ledger."""

    def __init__(self, home: Path, network_passphrase: str, now: int) -> None:
        self.network_passphrase = network_passphrase
        self.store = Store(home)
        self.state = State(network_passphrase, self.store.load_instance)
        self.queue = TransactionQueue()
        known = self.store.meta("network_passphrase")
        if known not in (None, network_passphrase):
            raise ForeignLedger(f"{home} holds the ledger of another network: {known}")
        last = self.store.last_ledger()
        if last is None:
            self.header = self._create(now)
        else:
            self.store.load_into(self.state)
            self.header = Header(last["sequence"], last["hash"], last["closed_at_unix"])

    def submit(self, envelope: Envelope, latest_close_time: int) -> Submission:
        """``latest_close_time`` is the pessimistic guess that time bounds are judged by."""
        identity = envelope.hash.hex()
        disturbance = self.state.disturbance
        if self.queue.contains(envelope.hash):
            return Submission(SubmissionStatus.DUPLICATE, identity)
        window = ValidityWindow(
            self.header.sequence + 1,
            self.header.closed_at,
            max(latest_close_time, self.header.closed_at),
            self.queue.pending_fees(envelope),
            disturbance.lowest_fee_stroops(envelope),
        )
        try:
            refusal = disturbance.refusal(envelope)
            if refusal is not None:
                raise refusal
            self.queue.admit(envelope, self.header.sequence)
            check_validity(envelope, self.state, window)
        except TryAgainLater:
            return Submission(SubmissionStatus.TRY_AGAIN_LATER, identity)
        except TransactionRefused as refused:
            return Submission(SubmissionStatus.ERROR, identity, _refusal(envelope, refused))
        if not disturbance.loses(envelope):
            self.queue.put(envelope)
        return Submission(SubmissionStatus.PENDING, identity)

    def close_ledger(self, now: int) -> list[TransactionRecord]:
        """Apply what is queued and commit the ledger; only then may anybody be told."""
        closed_at = max(now, self.header.closed_at)
        moment = LedgerMoment(self.network_passphrase, self.header.sequence + 1, closed_at)
        records = self._apply_queued(moment)
        document = ledger_record(self.header, closed_at, self.state.fee_pool, records)
        self.store.commit_ledger(document, records, self.state)
        self.state.seal(moment.sequence)
        self.header = Header(moment.sequence, document["hash"], closed_at)
        self.queue.grow_older(moment.sequence)
        return records

    def _apply_queued(self, moment: LedgerMoment) -> list[TransactionRecord]:
        window = ValidityWindow(moment.sequence, moment.close_time, moment.close_time)
        records: list[TransactionRecord] = []
        for envelope in self.queue.take(MAX_TX_SET_SIZE):
            try:
                check_validity(envelope, self.state, window)
            except TransactionRefused:
                self.queue.ban(envelope, moment.sequence)
                continue
            applied = apply_transaction(envelope, self.state, moment)
            records.append(transaction_record(applied, moment.sequence, len(records) + 1, moment.close_time))
        return records

    def _create(self, now: int) -> Header:
        view = Overlay(self.state)
        populate(view, self.network_passphrase, now)
        self.state.merge(view)
        document = ledger_record(None, now, 0, [])
        self.store.set_meta("network_passphrase", self.network_passphrase)
        self.store.commit_ledger(document, [], self.state)
        self.state.seal(1)
        return Header(1, document["hash"], now)


def _refusal(envelope: Envelope, refused: TransactionRefused) -> TransactionOutcome:
    inner_hash = envelope.inner_hash if refused.inner else None
    fee = refused.required_fee
    return TransactionOutcome(refused.code, fee, refused.operations, inner_hash)
