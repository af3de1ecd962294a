"""The books of a dispute: each activity is one command in one transaction, run as a local activity of the dispute's workflow."""

from __future__ import annotations

from temporalio import activity

from offerhub.commands import deadlines
from offerhub.commands import disputes as commands
from offerhub.commands.maintenance import refusal_while_draining
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.context import Context
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import DecisionResult, DecisionSignal, DisputeDecision, DisputeView
from offerhub.domain.money import parse_amount
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import Decision
from offerhub.storage import maintenance, operations
from offerhub.storage.unit_of_work import Database, Transaction


class DisputeActivities:
    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn
    async def look_at_dispute(self, dispute_id: str) -> DisputeView:
        async with self._database.reading() as reader:
            return await commands.look_at_dispute(reader, dispute_id)

    @activity.defn
    async def pass_dispute_deadline(self, dispute_id: str) -> DisputeView:
        """Does what is due by the engine's clock; nothing when nothing is."""
        context = Context("system", "deadline", workflow_id=activity.info().workflow_id)
        async with self._database.transaction(context) as transaction:
            return await deadlines.pass_dispute_deadline(transaction, dispute_id)

    @activity.defn
    async def decide_dispute(self, given: DisputeDecision) -> DecisionResult:
        """The same command as by REST. Called again with the same key, what the first call did is the answer."""
        context = Context(f"signal:{given.decision.by}", given.key, workflow_id=activity.info().workflow_id)
        refusal = ""
        try:
            async with self._database.transaction(context) as transaction:
                if not await _is_decided_by(transaction, given):
                    drained = refusal_while_draining(await maintenance.get(transaction))
                    if drained is not None:
                        raise drained
                    await resolve_dispute(transaction, _wanted(given.dispute_id, given.decision))
        except DomainError as refused:
            refusal = refused.message
        return DecisionResult(await self.look_at_dispute(given.dispute_id), refusal)


async def _is_decided_by(transaction: Transaction, given: DisputeDecision) -> bool:
    """The key is the request's id, which the accepted operation carries."""
    view = await commands.look_at_dispute(transaction, given.dispute_id)
    last = await operations.last(transaction, view.order_id, OperationKind.DISPUTE_RESOLUTION)
    return last is not None and last.correlation_id == given.key


def _wanted(dispute_id: str, given: DecisionSignal) -> ResolveDispute:
    try:
        decision = Decision(given.decision)
    except ValueError:
        message = f"decision must be one of {', '.join(Decision)}"
        raise DomainError(ErrorCode.VALIDATION_ERROR, message) from None
    return ResolveDispute(
        dispute_id,
        decision,
        given.by,
        parse_amount(given.releaseAmount) if given.releaseAmount else None,
        parse_amount(given.refundAmount) if given.refundAmount else None,
        given.note or None,
    )
