"""Runs of the reconciliation: asked for, written down page by page, told of. The only balances changed are credits of missed deposits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offerhub.commands.deposits import RECONCILED, credit
from offerhub.domain import ids
from offerhub.domain.events import Event
from offerhub.domain.messages import ReconciliationInput
from offerhub.domain.money import format_amount
from offerhub.domain.payments import IncomingPayment
from offerhub.domain.reconciliation import REMARKS, Figures, Finding, FindingKind, Part
from offerhub.storage import reconciliation
from offerhub.storage.deposits import DepositRecord
from offerhub.storage.reconciliation import RunRecord
from offerhub.storage.unit_of_work import Transaction, WorkflowMessage, new_id

RECONCILIATION_WORKFLOW = "Reconciliation"
_PRIORITY = 4


@dataclass(frozen=True)
class Page:
    """One page of a part of a run, looked at."""

    part: Part
    after: str
    figures: Figures
    findings: Sequence[Finding]


async def request_run(transaction: Transaction, trigger: str) -> RunRecord:
    """Ask for a run now; the outbox starts its workflow."""
    run_id = new_id("rec")
    await reconciliation.insert_run(transaction, run_id, "PENDING", trigger)
    transaction.audit("reconciliation.requested", ("reconciliation", run_id), None, {"trigger": trigger})
    payload = vars(ReconciliationInput(run_id))
    workflow_id = ids.reconciliation_workflow_id(run_id)
    transaction.tell_workflow(WorkflowMessage(RECONCILIATION_WORKFLOW, workflow_id, "", payload, _PRIORITY))
    run = await reconciliation.get_run(transaction, run_id)
    assert run is not None, "written in this transaction"
    return run


async def begin_run(transaction: Transaction, run_id: str) -> None:
    """Requested runs exist already; one of the schedule begins to exist here. Repeated calls change nothing."""
    if await reconciliation.insert_run(transaction, run_id, "RUNNING", "schedule"):
        transaction.audit("reconciliation.started", ("reconciliation", run_id), None, {"status": "RUNNING"})


async def record_page(transaction: Transaction, run_id: str, page: Page) -> None:
    """Once per page: its figures and findings, and an event for each difference that the run before did not have."""
    if not await reconciliation.insert_page(transaction, run_id, (page.part, page.after), page.figures):
        return
    for finding in page.findings:
        await _record(transaction, run_id, finding)


async def credit_missed(transaction: Transaction, run_id: str, payments: Sequence[IncomingPayment]) -> list[DepositRecord]:
    """Credit deposits that reading the stream has missed. ``run_id`` is empty when one wallet was looked at on demand."""
    credited = await credit(transaction, payments, RECONCILED)
    for deposit in credited:
        said = f"{format_amount(deposit.amount)} USDC from {deposit.sender}, operation {deposit.chain_operation}"
        explanation = f"{said} in transaction {deposit.transaction_hash}, was missed when the stream passed it. It is credited now."
        transaction.audit("deposit.reconciled", ("deposit", deposit.id), None, {"runId": run_id, "explanation": explanation})
        if run_id:
            missed = Finding(FindingKind.MISSED_DEPOSIT, "deposit", deposit.id, explanation, 0, deposit.amount, deposit.user_id)
            await _record(transaction, run_id, missed)
    return credited


async def finish_run(transaction: Transaction, run_id: str) -> RunRecord:
    finished = await reconciliation.finish(transaction, run_id)
    run = await reconciliation.get_run(transaction, run_id)
    if run is None:
        raise LookupError(f"there is no reconciliation {run_id}")
    if finished:
        transaction.emit(Event("reconciliation.completed", run_id, {"runId": run_id, "findings": str(run.finding_count)}))
        transaction.audit("reconciliation.completed", ("reconciliation", run_id), None, {"figures": dict(run.figures)})
    return run


async def _record(transaction: Transaction, run_id: str, finding: Finding) -> None:
    finding_id = new_id("fnd")
    if not await reconciliation.insert_finding(transaction, finding_id, run_id, finding):
        return
    transaction.audit("reconciliation.found", (finding.resource_type, finding.resource_id), None, {"runId": run_id, **_shown(finding)})
    if finding.kind is FindingKind.PLATFORM_ACCOUNT_LOW:
        _tell_low(transaction, finding)
    elif finding.kind not in REMARKS:
        payload = {"runId": run_id, "findingId": finding_id, **_shown(finding)}
        # For operators: the payload names the user, but it is no news for his own stream.
        transaction.emit(Event("reconciliation.drift_detected", run_id, payload))


def _tell_low(transaction: Transaction, finding: Finding) -> None:
    xlm, least = format_amount(finding.found_stroops or 0), format_amount(finding.expected_stroops or 0)
    payload = {"publicKey": finding.resource_id, "kind": finding.resource_type, "xlm": xlm, "minimumXlm": least}
    transaction.emit(Event("platform_account.low", finding.resource_id, payload))


def _shown(finding: Finding) -> dict[str, str | None]:
    return {
        "kind": finding.kind,
        "resourceType": finding.resource_type,
        "resourceId": finding.resource_id,
        "explanation": finding.explanation,
        "userId": finding.user_id,
        "expected": None if finding.expected_stroops is None else format_amount(finding.expected_stroops),
        "found": None if finding.found_stroops is None else format_amount(finding.found_stroops),
    }
