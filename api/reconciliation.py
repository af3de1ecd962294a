"""Reconciliation: its runs and findings, and one user's wallet compared on demand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import Query, Response

from api import idempotency, present
from api.answers import API_PREFIX, Answer, at_top_level, ok, page, success
from api.auth import Scope
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.fields import NoBody
from api.schemas.reconciliation import (
    BareBalanceComparison,
    BareBalanceSync,
    ReconciliationQuery,
    ReconciliationRun,
    ReconciliationRunWithFindings,
)
from api.users import found
from offerhub.commands.reconciliation import request_run
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount
from offerhub.domain.times import iso
from offerhub.reconciliation.wallets import WalletState
from offerhub.storage import ledger, reconciliation, users
from offerhub.storage.ledger import UserBalance
from offerhub.storage.reconciliation import FindingRecord, RunRecord
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Reconciliation")
_MOST_FINDINGS = 1_000
_RUN = Documented("Compare books and chain now", One[ReconciliationRun], 202)
_READ = Documented("Read a run with its findings", One[ReconciliationRunWithFindings], errors=(ErrorCode.NOT_FOUND,))
_SYNC = Documented("Compare one user with the chain now", BareBalanceSync, errors=(ErrorCode.USER_NOT_FOUND,))
_VERIFY = Documented("Compare one user with the chain, and only look", BareBalanceComparison, errors=(ErrorCode.USER_NOT_FOUND,))


@routes.post("/reconciliation/runs", Scope.ADMIN, _RUN)
async def start_reconciliation(call: CurrentCall, _body: NoBody | None = None) -> Response:
    """Everything is compared: wallets, escrows, open envelopes, the platform's accounts. Follow the run at `Location`."""

    async def work(transaction: Transaction) -> Answer:
        run = await request_run(transaction, "request")
        return Answer(202, success(_run(run)), f"{API_PREFIX}/reconciliation/runs/{run.id}")

    return (await idempotency.run(call, work)).response()


@routes.get("/reconciliation/runs", Scope.ADMIN, Documented("List runs", Page[ReconciliationRun]))
async def list_reconciliations(call: CurrentCall, query: Annotated[ReconciliationQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        runs = await reconciliation.page_of_runs(reader, query.cursor, query.limit + 1)
    return page(runs, query.limit, _run)


@routes.get("/reconciliation/runs/{run_id}", Scope.ADMIN, _READ)
async def get_reconciliation(call: CurrentCall, run_id: str) -> Response:
    async with call.services.database.reading() as reader:
        run = await reconciliation.get_run(reader, run_id)
        if run is None:
            raise DomainError(ErrorCode.NOT_FOUND, f"There is no reconciliation {run_id[:64]}.", {"runId": run_id[:64]})
        findings = await reconciliation.findings(reader, run_id, _MOST_FINDINGS)
    return ok({**_run(run), "findings": [_finding(one) for one in findings]})


@routes.post("/users/{user_id}/balance/sync", Scope.WRITE, _SYNC)
async def sync_balance(call: CurrentCall, user_id: str, _body: NoBody | None = None) -> Response:
    """Deposits that were missed are credited; any other difference is stated, never corrected. May take some seconds when there is one."""
    kept = await idempotency.kept(call)
    if kept is not None:
        return kept.response()
    async with call.services.database.reading() as reader:
        user = found(await users.get(reader, user_id), user_id)
    state = await call.services.wallet_comparison.of(user.id)

    async def work(transaction: Transaction) -> Answer:
        body = _sync(user.id, state, await ledger.user_balance(transaction, user.id))
        return Answer(200, {**body, **success(body)})

    return (await idempotency.run(call, work)).response()


@routes.get("/users/{user_id}/balance/verify", Scope.READ, _VERIFY)
async def verify_balance(call: CurrentCall, user_id: str) -> Response:
    """Nothing is credited and no reason looked for: `DIFFERS` may be a deposit that is still to be credited. `…/balance/sync` tells."""
    async with call.services.database.reading() as reader:
        user = found(await users.get(reader, user_id), user_id)
    state = await call.services.wallet_comparison.seen(user.id)
    async with call.services.database.reading() as reader:
        return at_top_level(_comparison(user.id, state, await ledger.user_balance(reader, user.id)))


def _run(record: RunRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "status": record.status,
        "trigger": record.trigger,
        "requestedBy": record.requested_by,
        "figures": dict(record.figures),
        "findingCount": record.finding_count,
        "createdAt": iso(record.created_at),
        "finishedAt": iso(record.finished_at),
    }


def _finding(record: FindingRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "kind": record.kind,
        "resourceType": record.resource_type,
        "resourceId": record.resource_id,
        "userId": record.user_id,
        "expected": None if record.expected is None else format_amount(record.expected),
        "found": None if record.found is None else format_amount(record.found),
        "explanation": record.explanation,
        "firstRunId": record.first_run_id,
        "createdAt": iso(record.created_at),
    }


def _sync(user_id: str, state: WalletState | None, balance: UserBalance) -> dict[str, Any]:
    return {
        **_comparison(user_id, state, balance),
        "creditedDepositIds": [deposit.id for deposit in state.credited] if state else [],
        "findings": [{"kind": one.kind, "explanation": one.explanation} for one in state.findings] if state else [],
    }


def _comparison(user_id: str, state: WalletState | None, balance: UserBalance) -> dict[str, Any]:
    return {
        **present.balance(user_id, balance),
        "status": _status(state),
        "publicKey": state.booked.address if state else None,
        "onChain": format_amount(state.found_stroops if state else 0),
        "booked": format_amount(state.booked.stroops if state else 0),
        "difference": format_amount(state.difference if state else 0),
        "checkedAt": iso(datetime.now(UTC)),
    }


def _status(state: WalletState | None) -> str:
    if state is None:
        return "NO_WALLET"
    if state.agrees:
        return "CREDITED" if state.credited else "AGREES"
    return "DIFFERS" if state.is_settled else "IN_MOTION"
