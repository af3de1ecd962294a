"""Corrections of the books by hand, off unless ``LEDGER_ADJUSTMENTS_ENABLED``."""

from __future__ import annotations

from fastapi import Response

from api import idempotency, present, problems
from api.answers import API_PREFIX, Answer, success
from api.auth import Scope
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.adjustments import AdjustBody, Adjustment
from api.schemas.answers import One
from offerhub.commands.adjustments import AdjustBalance, adjust_balance
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount
from offerhub.domain.times import iso
from offerhub.storage import ledger
from offerhub.storage.unit_of_work import Transaction

routes = Routes("Ledger")
_C = ErrorCode
_REFUSALS = (_C.NOT_FOUND, _C.USER_NOT_FOUND, _C.INVALID_AMOUNT_FORMAT, _C.INSUFFICIENT_FUNDS)
_ADJUST = Documented("Correct a balance by hand", One[Adjustment], 201, errors=_REFUSALS)


@routes.post("/ledger/adjustments", Scope.ADMIN, _ADJUST)
async def adjust_ledger(call: CurrentCall, body: AdjustBody) -> Response:
    """Books what the chain did to a wallet and the books have missed, as a reconciliation found it; nothing moves on the chain. Needs an
    `Idempotency-Key`. 404 unless the instance enables it. Kept in the audit log as `ledger.adjusted`.
    """
    if not call.services.settings.ledger_adjustments_enabled:
        raise DomainError(_C.NOT_FOUND, "Adjustments are switched off on this instance (LEDGER_ADJUSTMENTS_ENABLED).")
    if call.idempotency_key is None:
        raise problems.invalid([("Idempotency-Key", "an adjustment needs one, as two of them would count twice")])
    change = body.amount if body.direction == "CREDIT" else -body.amount
    request = AdjustBalance(body.user_id, change, body.reason, body.evidence, body.transaction_hash)

    async def work(transaction: Transaction) -> Answer:
        shown = {
            "id": await adjust_balance(transaction, request),
            "userId": body.user_id,
            "direction": body.direction,
            "amount": format_amount(body.amount),
            "reason": body.reason,
            "evidence": body.evidence,
            "transactionHash": body.transaction_hash,
            "requestedBy": call.caller.id,
            "createdAt": iso(transaction.now),
            "balance": present.figures(await ledger.user_balance(transaction, body.user_id)),
        }
        return Answer(201, success(shown), f"{API_PREFIX}/users/{body.user_id}/statement")

    return (await idempotency.run(call, work)).response()
