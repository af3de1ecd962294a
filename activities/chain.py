"""Horizon: post stored envelopes and read what became of them. Posting and asking any number of times is harmless."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from temporalio import activity

from activities.failures import WaitingError
from activities.outcomes import TRAPPED, outcome_of
from offerhub.commands import attempts as attempt_commands
from offerhub.commands.attempts import Outcome
from offerhub.domain.context import Context
from offerhub.domain.messages import Movement, SignedAttempt, StepOutcome, StepStatus
from offerhub.domain.plans import MOVES_MONEY, Action
from offerhub.domain.states import AttemptState
from offerhub.stellar import outcome as proof
from offerhub.stellar.envelope import calls_multi_release
from offerhub.stellar.failure import Trace
from offerhub.stellar.horizon import Horizon, HorizonUnavailable
from offerhub.stellar.horizon_records import Lookup, Observation, SubmitAnswer
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.payments import movements_of
from offerhub.storage import attempts
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.unit_of_work import Database

FIRST_LOOK_S = 0.2
SLOWEST_LOOK_S = 1.0
LOOKING_S = 20
# In a row; after them it is an outage, and the activity's own growing pauses are kinder to who suffers from it.
MOST_UNANSWERED_LOOKS = 3
POST_AGAIN = timedelta(seconds=10)
# After its last moment plus this, an envelope of which nobody can tell is shown as UNKNOWN.
PROOF_IS_LATE_S = 300
_SYSTEM = Context("system", "")


class ChainActivities:
    def __init__(self, database: Database, horizon: Horizon, network: StellarNetwork) -> None:
        self._database = database
        self._horizon = horizon
        self._network = network

    @activity.defn
    async def submit_attempt(self, attempt: SignedAttempt) -> StepOutcome:
        """Post the stored bytes and wait for the ledger. Only a transaction found in a ledger is an outcome."""
        async with self._database.transaction(_SYSTEM) as transaction:
            stored = await attempt_commands.note_submission(transaction, attempt.attempt_id)
        if not stored.is_open:
            return outcome_of(stored)
        answer = await self._horizon.submit(stored.envelope)
        record = answer.record
        if record is None and answer.code == "transaction_failed":
            record = (await self._horizon.transaction(stored.inner_hash)).record
        if record is None or record.hash not in (stored.outer_hash, stored.inner_hash):
            return StepOutcome(StepStatus.PENDING, stored.id, stored.inner_hash, reason=_said(answer))
        trace = self._trace(stored, answer.diagnostic_events)
        return await self._settle(stored, proof.decide(_question(stored), Observation(Lookup(record, None)), trace))

    @activity.defn
    async def settle_attempt(self, attempt: SignedAttempt) -> StepOutcome:
        """Ask until the transaction is in a ledger or provably dead. Late proof makes it UNKNOWN, once; after that it is asked for ever."""
        async with self._database.reading() as reader:
            stored = await attempts.get(reader, attempt.attempt_id)
        if stored is None:
            raise LookupError(f"there is no attempt {attempt.attempt_id}")
        if not stored.is_open:
            return outcome_of(stored)
        try:
            found = await self._look(stored)
        except HorizonUnavailable as error:
            # For so long, that is as good a reason to tell a person as an answer without proof.
            if stored.state is AttemptState.UNKNOWN or not await self._is_overdue(stored):
                raise
            found = proof.Pending(error.message)
        if not isinstance(found, proof.Pending):
            return await self._settle(stored, found)
        if stored.state is not AttemptState.UNKNOWN and await self._is_overdue(stored):
            return await self._settle(stored, found)
        raise WaitingError(found.why)

    @activity.defn
    async def read_movements_again(self, operation_id: str) -> None:
        """Before a booking that found a mismatch is tried again: the applied transactions stay, what they moved is read anew."""
        async with self._database.reading() as reader:
            signed = await attempts.of_operation(reader, operation_id)
        for applied in (attempt for attempt in signed if attempt.state is AttemptState.CONFIRMED):
            movements = await self._movements(applied)
            async with self._database.transaction(Context("system", "", operation_id=operation_id)) as transaction:
                await attempt_commands.correct_movements(transaction, applied.id, movements)

    async def _look(self, stored: AttemptRecord) -> proof.Outcome:
        """Several looks in one activity: a retry of the activity would cost the server far more than a sleep here."""
        started, unanswered, pause_s = time.monotonic(), 0, FIRST_LOOK_S
        while True:
            stored = await self._posted_again(stored)
            ends = time.monotonic() - started > LOOKING_S or activity.is_worker_shutdown()
            try:
                found = await self._seen(stored)
                unanswered = 0
                if ends or not isinstance(found, proof.Pending):
                    return found
            except HorizonUnavailable as error:
                unanswered += 1
                if ends or error.retry_after_s or unanswered == MOST_UNANSWERED_LOOKS:
                    raise
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, SLOWEST_LOOK_S)

    async def _seen(self, stored: AttemptRecord) -> proof.Outcome:
        seen = await self._horizon.observe(stored.inner_hash, stored.source, stored.sequence)
        return proof.decide(_question(stored), seen, self._trace(stored))

    def _trace(self, stored: AttemptRecord, diagnostic_events: tuple[str, ...] = ()) -> Trace:
        is_multi_release = calls_multi_release(self._network, stored.envelope)
        return Trace(diagnostic_events, self._network.usdc_contract, is_multi_release)

    async def _posted_again(self, stored: AttemptRecord) -> AttemptRecord:
        """The same bytes, some time after the last posting, whoever made that one: nothing else helps an envelope that was lost."""
        if stored.via != "horizon" or stored.updated_at is None or datetime.now(UTC) - stored.updated_at < POST_AGAIN:
            return stored
        async with self._database.transaction(_SYSTEM) as transaction:
            await attempt_commands.note_submission(transaction, stored.id)
        await self._horizon.submit_async(stored.envelope)
        return replace(stored, updated_at=datetime.now(UTC))

    async def _is_overdue(self, stored: AttemptRecord) -> bool:
        """By the ledger's clock or, without a ledger to ask, by ours: nothing is decided here but whom to tell."""
        try:
            closed_at_unix = (await self._horizon.latest_ledger()).closed_at_unix
        except HorizonUnavailable:
            closed_at_unix = 0
        return max(closed_at_unix, int(time.time())) > stored.max_time + PROOF_IS_LATE_S

    async def _settle(self, stored: AttemptRecord, found: proof.Outcome) -> StepOutcome:
        outcome = await self._outcome(stored, found)
        async with self._database.transaction(Context("system", "", operation_id=stored.operation_id)) as transaction:
            return outcome_of(await attempt_commands.settle_attempt(transaction, stored.id, outcome))

    async def _outcome(self, stored: AttemptRecord, found: proof.Outcome) -> Outcome:
        match found:
            case proof.Applied(record):
                return Outcome(AttemptState.CONFIRMED, record.ledger, movements=await self._movements(stored))
            case proof.Refused(record, failure):
                code = TRAPPED if failure.contract_error is not None else failure.codes[-1]
                return Outcome(AttemptState.REJECTED, record.ledger, code, failure.sentence)
            case proof.Dead(sentence):
                return Outcome(AttemptState.DEAD, reason=sentence)
            case proof.Pending(why):
                return Outcome(AttemptState.UNKNOWN, reason=why)

    async def _movements(self, stored: AttemptRecord) -> tuple[Movement, ...]:
        """The USDC that an escrow's contract or a paying wallet moved, from the chain's own records: the books are made of nothing else."""
        if stored.step is None or Action(stored.step["action"]) not in MOVES_MONEY:
            return ()
        records = await self._horizon.payments_of(stored.inner_hash)
        return tuple(movements_of(records, self._network.usdc_issuer, stored.contract_id or stored.source))


def _question(stored: AttemptRecord) -> proof.Attempt:
    return proof.Attempt(stored.inner_hash, stored.source, stored.sequence, stored.max_time)


def _said(answer: SubmitAnswer) -> str:
    words = [answer.code, *answer.result_codes, answer.detail]
    return f"Horizon answered {answer.status}: {', '.join(word for word in words if word)}."
