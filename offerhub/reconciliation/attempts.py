"""Envelopes whose time is over and that still have no outcome in our books: what the network says of them."""

from __future__ import annotations

from offerhub.domain.reconciliation import Figures, Finding, FindingKind
from offerhub.reconciliation.steady import patiently
from offerhub.stellar.horizon import Horizon
from offerhub.storage import snapshots
from offerhub.storage.snapshots import OverdueAttempt
from offerhub.storage.unit_of_work import Database

PAGE_ATTEMPTS = 100
# Settling takes a moment after the last ledger that could have had it.
GRACE_S = 120


class AttemptReconciler:
    def __init__(self, database: Database, horizon: Horizon) -> None:
        self._database = database
        self._horizon = horizon

    async def page(self, after: str) -> tuple[str, Figures, list[Finding]]:
        now = (await patiently(self._horizon.latest_ledger)).closed_at_unix
        async with self._database.reading() as reader:
            overdue = await snapshots.overdue_attempts(reader, now - GRACE_S, after, PAGE_ATTEMPTS)
        next_after = overdue[-1].id if len(overdue) == PAGE_ATTEMPTS else ""
        return next_after, Figures(len(overdue)), [await self._explain(one) for one in overdue]

    async def _explain(self, attempt: OverdueAttempt) -> Finding:
        """A stuck attempt is settled by its own workflow, never from here: this says what stands in the way."""
        record = (await patiently(lambda: self._horizon.transaction(attempt.inner_hash))).record
        if record is None:
            network = "The network shows no such transaction."
        else:
            network = f"It {'is applied' if record.successful else 'failed'} in ledger {record.ledger}, which nobody has booked."
        sentence = (
            f"The envelope {attempt.inner_hash} of {attempt.intent_id} ({attempt.state}, sent {attempt.submissions} times from "
            f"{attempt.source}) could be applied until {attempt.max_time} and has no outcome. {network}"
        )
        known = f" Last known: {attempt.reason}" if attempt.reason else ""
        return Finding(FindingKind.STUCK_ATTEMPT, "attempt", attempt.id, sentence + known, user_id=attempt.user_id)
