"""What became of a signed transaction: a pure decision on what Horizon showed (``model.md`` §6, step 4).

A transaction is dead only by proof. It rests on three facts of the network: a sequence number is used once, a transaction is never
applied in a ledger that closed after its ``max_time``, and a closed ledger does not change. A 404, a time-out, ``tx_bad_seq`` or
``tx_too_late`` alone says nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.stellar.failure import Failure, Trace, read_failure
from offerhub.stellar.horizon_records import Observation, TransactionRecord


@dataclass(frozen=True)
class Attempt:
    """One signed envelope as it was stored before it was sent. One without an end could never be proven dead."""

    inner_hash: str
    source: str
    sequence: int
    max_time: int

    def __post_init__(self) -> None:
        if self.max_time <= 0:
            raise ValueError("an attempt has a max_time")


@dataclass(frozen=True)
class Applied:
    record: TransactionRecord


@dataclass(frozen=True)
class Refused:
    """In a ledger, and failed there: final. Sequence number and fee are spent."""

    record: TransactionRecord
    failure: Failure


@dataclass(frozen=True)
class Dead:
    """Never applied and never will be; ``proof`` is the sentence for the audit trail."""

    proof: str


@dataclass(frozen=True)
class Pending:
    why: str


Outcome = Applied | Refused | Dead | Pending


def decide(attempt: Attempt, seen: Observation, trace: Trace | None = None) -> Outcome:
    """``trace`` is what the submit answer had to say about a failure, if anything: it can name the contract's error."""
    record = seen.lookup.record
    if record is not None:
        if record.successful:
            return Applied(record)
        return Refused(record, read_failure(record, trace or Trace()))
    proof = _sequence_taken(attempt, seen) or _too_late(attempt, seen) or _passed_over(attempt, seen)
    return Dead(proof) if proof else Pending(_waiting_for(attempt, seen))


def _sequence_taken(attempt: Attempt, seen: Observation) -> str | None:
    if seen.occupant is None or seen.occupant == attempt.inner_hash:
        return None
    return f"Sequence number {attempt.sequence} of {attempt.source} was used by transaction {seen.occupant}."


def _too_late(attempt: Attempt, seen: Observation) -> str | None:
    """A ledger closed after ``max_time``, and up to it the transaction was not applied: by the unused sequence, or by the look-up."""
    if seen.ledger is None or seen.ledger.closed_at_unix <= attempt.max_time:
        return None
    when = f"ledger {seen.ledger.sequence}, which closed after {attempt.max_time}"
    account = seen.account
    if account is not None and account.latest_ledger == seen.ledger.sequence and account.sequence < attempt.sequence:
        return f"Sequence number {attempt.sequence} was still unused in {when}."
    if seen.lookup.latest_ledger is not None and seen.lookup.latest_ledger >= seen.ledger.sequence:
        return f"Not in any ledger up to {when}."
    return None


def _passed_over(attempt: Attempt, seen: Observation) -> str | None:
    """The account went on to our sequence number or past it by ledger L, and the transaction is not in the ledgers up to L."""
    account, looked_at = seen.account, seen.lookup.latest_ledger
    if account is None or account.latest_ledger is None or looked_at is None:
        return None
    if account.sequence < attempt.sequence or looked_at < account.latest_ledger:
        return None
    where = f"sequence {account.sequence} in ledger {account.latest_ledger}"
    return f"The account was at {where}, and the transaction is in no ledger up to {looked_at}."


def _waiting_for(attempt: Attempt, seen: Observation) -> str:
    if seen.ledger is None:
        return "Horizon has not shown a ledger yet."
    ledger = f"ledger {seen.ledger.sequence} closed at {seen.ledger.closed_at_unix}"
    if seen.ledger.closed_at_unix <= attempt.max_time:
        return f"Not found yet; it may still be applied until {attempt.max_time}, {ledger}."
    return f"Not found, and {ledger}, after its time; but nothing shows yet that this Horizon has seen all of it."
