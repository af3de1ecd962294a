"""Disputes, for the support agent: read, take over, collect evidence, decide."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from api import idempotency, present
from api.answers import API_PREFIX, Answer, ok, page, success
from api.auth import Scope
from api.call import Call, CurrentCall
from api.following import DISPUTE, Command, run_operation
from api.openapi import Documented, operation_route
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.disputes import (
    AssignBody,
    Dispute,
    DisputeQuery,
    DisputeRecordEntry,
    DisputeWithOperation,
    DisputeWithRecords,
    EvidenceBody,
    MessageBody,
    ResolveBody,
)
from offerhub.commands.dispute_facts import AcceptedDispute
from offerhub.commands.disputes import DisputeNote, add_to_dispute, assign_dispute
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import disputes
from offerhub.storage.disputes import DisputeFilter
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Disputes")
_C = ErrorCode
_MISSING = (_C.DISPUTE_NOT_FOUND,)
_CHANGING = (*_MISSING, _C.INVALID_STATE)
_GET = Documented("Read a dispute", One[DisputeWithRecords], errors=_MISSING)
_RESOLVE = operation_route(
    "Decide a dispute", DisputeWithOperation, 200, (*_CHANGING, _C.INVALID_AMOUNT_FORMAT, _C.RESERVE_MISMATCH_AMOUNT, _C.ESCROW_NOT_READY)
)


@routes.get("/disputes", Scope.READ, Documented("List disputes", Page[Dispute]))
async def list_disputes(call: CurrentCall, query: Annotated[DisputeQuery, Query()]) -> Response:
    wanted = DisputeFilter(query.order_id, query.status, query.opened_by, query.assigned_to)
    async with call.services.database.reading() as reader:
        found = await disputes.page(reader, wanted, query.cursor, query.limit + 1)
    return page(found, query.limit, present.dispute)


@routes.get("/disputes/{dispute_id}", Scope.READ, _GET)
async def get_dispute(call: CurrentCall, dispute_id: str) -> Response:
    """With everything that was put on record about it, oldest first."""
    async with call.services.database.reading() as reader:
        dispute = await disputes.get(reader, dispute_id)
        entries = await disputes.entries(reader, dispute_id) if dispute else []
    if dispute is None:
        raise DomainError(_C.DISPUTE_NOT_FOUND, f"There is no dispute {dispute_id[:64]}.", {"disputeId": dispute_id[:64]})
    said = {kind: [present.dispute_entry(one) for one in entries if one.kind == kind] for kind in ("EVIDENCE", "MESSAGE")}
    return ok({**present.dispute(dispute), "evidence": said["EVIDENCE"], "messages": said["MESSAGE"]})


@routes.post("/disputes/{dispute_id}/assign", Scope.SUPPORT, Documented("Take a dispute over", One[Dispute], errors=_CHANGING))
async def assign(call: CurrentCall, dispute_id: str, body: AssignBody) -> Response:
    """The dispute is `UNDER_REVIEW` from now on; assigned again, somebody else takes it over."""

    async def work(transaction: Transaction) -> Answer:
        return Answer(200, success(present.dispute(await assign_dispute(transaction, dispute_id, body.assigned_to, body.notes))))

    return (await idempotency.run(call, work)).response()


_EVIDENCE = Documented("Add evidence", One[DisputeRecordEntry], 201, errors=_CHANGING)
_MESSAGE = Documented("Add a message", One[DisputeRecordEntry], 201, errors=_CHANGING)


@routes.post("/disputes/{dispute_id}/evidence", Scope.TAKE_PART, _EVIDENCE)
async def add_evidence(call: CurrentCall, dispute_id: str, body: EvidenceBody) -> Response:
    """Append-only; `contentHash` lets anybody check later what was given."""
    content = {name: value for name, value in (("text", body.text), ("url", body.url), ("sha256", body.sha256)) if value is not None}
    return await _add(call, dispute_id, DisputeNote("EVIDENCE", body.author or call.caller.id, content))


@routes.post("/disputes/{dispute_id}/messages", Scope.TAKE_PART, _MESSAGE)
async def add_message(call: CurrentCall, dispute_id: str, body: MessageBody) -> Response:
    return await _add(call, dispute_id, DisputeNote("MESSAGE", body.author or call.caller.id, {"text": body.text}))


@routes.post("/disputes/{dispute_id}/resolve", Scope.SUPPORT, _RESOLVE, moves_money=True)
async def resolve(call: CurrentCall, dispute_id: str, body: ResolveBody) -> Response:
    """Pays the contract out as decided, less its fees. Of two decisions one wins; the other is answered with `INVALID_STATE`."""
    wanted = ResolveDispute(dispute_id, body.decision, call.caller.id, body.release_amount, body.refund_amount, body.note)

    async def accept(transaction: Transaction) -> AcceptedDispute:
        return await resolve_dispute(transaction, wanted)

    return (await run_operation(call, Command(accept, 200, DISPUTE, idempotency.FOR_EVER))).response()


async def _add(call: Call, dispute_id: str, note: DisputeNote) -> Response:
    async def work(transaction: Transaction) -> Answer:
        entry: dict[str, Any] = present.dispute_entry(await add_to_dispute(transaction, dispute_id, note))
        return Answer(201, success(entry), f"{API_PREFIX}/disputes/{dispute_id}")

    return (await idempotency.run(call, work)).response()
