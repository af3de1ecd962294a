"""Trustless Work: have envelopes built, send deployments, tell its index. On the ``trustless`` queue."""

from __future__ import annotations

from temporalio import activity

from activities.envelope_check import EnvelopeCheck
from activities.intents import EscrowStep, escrow_step
from activities.outcomes import outcome_of, signed_attempt
from activities.turns import await_turn
from offerhub.commands import attempts as attempt_commands
from offerhub.commands.operations import report_refused_signature
from offerhub.domain.context import Context
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.messages import PlannedStep, Prepared, SignedAttempt, StepOutcome, StepStatus
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import AttemptState
from offerhub.providers.budget import Priority
from offerhub.providers.errors import EscrowNotIndexedError
from offerhub.providers.trustless_work import TrustlessWork
from offerhub.storage import orders
from offerhub.storage.operations import OperationRecord
from offerhub.storage.unit_of_work import Database

_LESS_URGENT = {
    OperationKind.ESCROW_FUNDING: Priority.FUND,
    OperationKind.CHECKOUT: Priority.DEPLOY,
    OperationKind.ESCROW_CREATION: Priority.DEPLOY,
}


def priority_of(kind: OperationKind) -> Priority:
    """Whatever pays somebody out, or freezes what might be paid out, goes before what begins something new."""
    return _LESS_URGENT.get(kind, Priority.RELEASE)


def operation_context(operation: OperationRecord) -> Context:
    return Context("system", operation.correlation_id, operation_id=operation.id, workflow_id=operation.workflow_id)


class EscrowActivities:
    def __init__(self, database: Database, trustless: TrustlessWork, check: EnvelopeCheck) -> None:
        self._database = database
        self._trustless = trustless
        self._check = check

    @activity.defn
    async def prepare_step(self, step: PlannedStep) -> Prepared:
        """An envelope that passed the comparison, or the attempt that an earlier run has signed already."""
        async with self._database.reading() as reader:
            wanted = await escrow_step(reader, step.intent_id)
        turn = await await_turn(self._database, operation_context(wanted.operation), wanted.intent.source, wanted.intent_id)
        for attempt in turn.attempts:
            if attempt.is_open or attempt.state is AttemptState.CONFIRMED:
                return Prepared(step.intent_id, attempt=signed_attempt(attempt))
        envelope = await self._built(wanted)
        try:
            verified = await self._check.verify(wanted, envelope, turn.last_sequence)
        except IntentMismatchError as mismatch:
            difference = (mismatch.field, mismatch.expected, mismatch.found)
            async with self._database.transaction(operation_context(wanted.operation)) as transaction:
                await report_refused_signature(transaction, wanted.operation.id, wanted.intent_id, difference)
            raise
        return Prepared(step.intent_id, envelope, verified.sequence, verified.max_time)

    @activity.defn
    async def send_deploy(self, attempt: SignedAttempt) -> StepOutcome:
        """Through Trustless Work, or its index never learns of the contract. Its answer is no outcome: Horizon is asked next."""
        async with self._database.transaction(Context("system", "")) as transaction:
            stored = await attempt_commands.note_submission(transaction, attempt.attempt_id)
        if not stored.is_open:
            return outcome_of(stored)
        # A signed envelope does not keep: it goes before everything that could still be built later.
        answer = await self._trustless.send_transaction(stored.envelope, Priority.RELEASE)
        reason = "" if answer.accepted else f"Trustless Work: {answer.message}"
        return StepOutcome(StepStatus.PENDING, stored.id, stored.inner_hash, reason=reason)

    @activity.defn
    async def tell_index(self, transaction_hash: str) -> bool:
        return await self._trustless.tell_index(transaction_hash)

    async def _built(self, wanted: EscrowStep) -> str:
        try:
            return await self._trustless.build(wanted.intent, priority_of(OperationKind(wanted.operation.kind)))
        except EscrowNotIndexedError:
            async with self._database.reading() as reader:
                order = await orders.get(reader, wanted.operation.resource_id)
            if order is not None and order.escrow is not None and order.escrow.deploy_hash is not None:
                await self._trustless.tell_index(order.escrow.deploy_hash)
            raise
