"""The scheduled comparison of books and chain, one page per activity."""

from __future__ import annotations

from temporalio import activity

from offerhub.commands import reconciliation as commands
from offerhub.domain.context import Context
from offerhub.domain.messages import ReconciliationPage, ReconciliationSummary
from offerhub.domain.reconciliation import Part
from offerhub.reconciliation.run import Reconciler
from offerhub.storage.unit_of_work import Database

_SYSTEM = Context("system", "reconciliation")


class ReconciliationActivities:
    def __init__(self, database: Database, reconciler: Reconciler) -> None:
        self._database = database
        self._reconciler = reconciler

    @activity.defn
    async def begin_reconciliation(self, run_id: str) -> None:
        async with self._database.transaction(_SYSTEM) as transaction:
            await commands.begin_run(transaction, run_id)

    @activity.defn
    async def reconcile_page(self, page: ReconciliationPage) -> str:
        """Look, then write down; returns where the part goes on, or nothing at its end."""
        looked_at, next_after = await self._reconciler.page(page.run_id, Part(page.part), page.after)
        async with self._database.transaction(_SYSTEM) as transaction:
            await commands.record_page(transaction, page.run_id, looked_at)
        return next_after

    @activity.defn
    async def finish_reconciliation(self, run_id: str) -> ReconciliationSummary:
        async with self._database.transaction(_SYSTEM) as transaction:
            run = await commands.finish_run(transaction, run_id)
        return ReconciliationSummary(run.id, run.finding_count, dict(run.figures))
