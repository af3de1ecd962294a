"""Transactions that wait for a ledger: one per source account, for at most four ledgers."""

from __future__ import annotations

from dataclasses import dataclass

from stellar_sdk import xdr

from sandbox.ledger.envelope import Envelope
from sandbox.ledger.results import TransactionRefused

MAX_AGE_LEDGERS = 4
BAN_LEDGERS = 10
REPLACEMENT_FACTOR = 10


class TryAgainLater(Exception):
    """The source account already waits for a ledger, or this hash was dropped a moment ago."""


@dataclass
class _Waiting:
    envelope: Envelope
    age_ledgers: int = 0


class TransactionQueue:
    """Keyed by source account, in order of arrival."""

    def __init__(self) -> None:
        self._waiting: dict[str, _Waiting] = {}
        self._banned: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def contains(self, transaction_hash: bytes) -> bool:
        return any(each.envelope.hash == transaction_hash for each in self._waiting.values())

    def pending_fees(self, envelope: Envelope) -> int:
        """What the fee source has promised already, apart from a transaction that this one would replace."""
        return sum(
            each.envelope.max_fee
            for source, each in self._waiting.items()
            if each.envelope.fee_source == envelope.fee_source and source != envelope.source
        )

    def admit(self, envelope: Envelope, ledger_sequence: int) -> None:
        """Whether there is room for it; raises TryAgainLater or TransactionRefused."""
        if self._banned.get(envelope.hash, 0) > ledger_sequence:
            raise TryAgainLater
        waiting = self._waiting.get(envelope.source)
        if waiting is None:
            return
        queued = waiting.envelope
        if envelope.sequence < queued.sequence:
            raise TransactionRefused(xdr.TransactionResultCode.txBAD_SEQ, inner=envelope.fee_bump is not None)
        if envelope.fee_bump is None or envelope.sequence != queued.sequence:
            raise TryAgainLater
        needed = -(-REPLACEMENT_FACTOR * queued.inclusion_fee * envelope.fee_units // queued.fee_units)
        if envelope.inclusion_fee < needed:
            raise TransactionRefused(xdr.TransactionResultCode.txINSUFFICIENT_FEE, required_fee=needed + envelope.resource_fee)

    def put(self, envelope: Envelope) -> None:
        """Replaces what the same source account had queued."""
        self._waiting[envelope.source] = _Waiting(envelope)

    def take(self, max_operations: int) -> list[Envelope]:
        """The best paying transactions that fit one ledger, in order of arrival; they leave the queue."""
        by_rate = sorted(
            self._waiting.values(),
            key=lambda each: -(each.envelope.inclusion_fee * 1_000 // each.envelope.fee_units),
        )
        chosen: set[str] = set()
        for waiting in by_rate:
            max_operations -= waiting.envelope.fee_units
            if max_operations < 0:
                break
            chosen.add(waiting.envelope.source)
        taken = [each.envelope for source, each in self._waiting.items() if source in chosen]
        self._waiting = {source: each for source, each in self._waiting.items() if source not in chosen}
        return taken

    def grow_older(self, ledger_sequence: int) -> None:
        """Called after each close: drops and bans what was left out too often, and forgets old bans."""
        for source, waiting in list(self._waiting.items()):
            waiting.age_ledgers += 1
            if waiting.age_ledgers >= MAX_AGE_LEDGERS:
                del self._waiting[source]
                self.ban(waiting.envelope, ledger_sequence)
        self._banned = {key: until for key, until in self._banned.items() if until > ledger_sequence}

    def ban(self, envelope: Envelope, ledger_sequence: int) -> None:
        self._banned[envelope.hash] = ledger_sequence + BAN_LEDGERS
