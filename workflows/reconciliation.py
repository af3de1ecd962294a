"""Compare the books with the chain: every wallet, escrow, open envelope and account of the platform."""

from __future__ import annotations

from temporalio import workflow

from offerhub.domain.ids import ENTROPY_BYTES, compose_id
from offerhub.domain.messages import ReconciliationInput, ReconciliationPage, ReconciliationSummary
from offerhub.domain.reconciliation import Part
from workflows import calls


@workflow.defn(name="Reconciliation")
class ReconciliationWorkflow:
    """``reconciliation-…`` by the schedule, ``reconciliation/<run>`` on demand."""

    @workflow.run
    async def run(self, wish: ReconciliationInput) -> ReconciliationSummary:
        """Part after part, page after page; a long run hands over to a new one so that the history stays short."""
        run_id = wish.run_id or _new_run_id()
        if not wish.part:
            await calls.begin_reconciliation(run_id)
        parts = list(Part)
        first = parts.index(Part(wish.part)) if wish.part else 0
        for part in parts[first:]:
            after = wish.after if part == wish.part else ""
            while True:
                workflow.set_current_details(f"Run `{run_id}`: **{part}**" + (f", after {after}" if after else ""))
                after = await calls.reconcile_page(ReconciliationPage(run_id, part, after))
                if not after:
                    break
                if workflow.info().is_continue_as_new_suggested():
                    workflow.continue_as_new(ReconciliationInput(run_id, part, after))
        summary = await calls.finish_reconciliation(run_id)
        workflow.set_current_details(f"Run `{run_id}`: {summary.findings} finding(s). See `GET /api/v1/reconciliation/runs/{run_id}`.")
        return summary


def _new_run_id() -> str:
    return compose_id("rec", int(workflow.now().timestamp() * 1000), workflow.random().randbytes(ENTROPY_BYTES))
