"""Withdrawals: pay a user's money out to an account on the network."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api import idempotency, present
from api.answers import at_top_level, page
from api.auth import Scope
from api.call import CurrentCall
from api.following import WITHDRAWAL, Command, follow, run_operation
from api.openapi import Documented
from api.rate_limit import Limit
from api.routing import Routes
from api.schemas.answers import Page
from api.schemas.withdrawals import BareWithdrawal, CreateWithdrawalBody, Withdrawal, WithdrawalQuery, WithdrawalWithOperation
from offerhub.commands.withdrawals import AcceptedWithdrawal, RequestWithdrawal, request_withdrawal
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.withdrawals import parse_memo
from offerhub.storage import withdrawals
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.withdrawals import WithdrawalFilter

routes = Routes("Withdrawals")
_C = ErrorCode
_REFUSALS = (_C.INVALID_AMOUNT_FORMAT, _C.INVALID_CURRENCY, _C.USER_NOT_FOUND, _C.USER_SUSPENDED, _C.WALLET_NOT_READY, _C.LIMIT_EXCEEDED)
_OF_THE_CHAIN = (_C.WITHDRAWAL_DESTINATION_INVALID, _C.INSUFFICIENT_FUNDS, _C.STELLAR_NETWORK_ERROR, _C.PROVIDER_ERROR)
_CREATE = Documented("Pay a user's money out", WithdrawalWithOperation, 201, (202,), (*_REFUSALS, *_OF_THE_CHAIN))


@routes.post("/withdrawals", Scope.WRITE, _CREATE, moves_money=True)
async def create_withdrawal(call: CurrentCall, body: CreateWithdrawalBody) -> Response:
    """The destination is looked at first: whatever would refuse or lose the money is refused here, before anything is held.

    `available` to `inTransit` at once, out of the books when the network has paid, back to `available` if it provably never will.
    """
    request = RequestWithdrawal(body.user_id, body.amount, parse_memo(body.memo, body.memo_type), body.description, body.currency)
    # A repeated request gets its kept answer, whatever the destination looks like by now.
    kept = None if call.dry_run else await idempotency.kept(call)
    if kept is not None:
        return (await follow(call, kept, WITHDRAWAL, 201)).response()
    await call.services.rate_limits.check(Limit.WITHDRAWALS, body.user_id)
    destination = await call.services.destinations.look_at(body.destination_ref)

    async def accept(transaction: Transaction) -> AcceptedWithdrawal:
        return await request_withdrawal(transaction, request, destination, call.services.settings.min_withdrawal_stroops)

    return (await run_operation(call, Command(accept, 201, WITHDRAWAL))).response()


@routes.get("/withdrawals", Scope.READ, Documented("List withdrawals", Page[Withdrawal]))
async def list_withdrawals(call: CurrentCall, query: Annotated[WithdrawalQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        found = await withdrawals.page(reader, WithdrawalFilter(query.user_id, query.status), query.cursor, query.limit + 1)
    return page(found, query.limit, present.withdrawal)


_GET = Documented("Read a withdrawal", BareWithdrawal, errors=(_C.WITHDRAWAL_NOT_FOUND,))


@routes.get("/withdrawals/{withdrawal_id}", Scope.READ, _GET)
async def get_withdrawal(call: CurrentCall, withdrawal_id: str) -> Response:
    async with call.services.database.reading() as reader:
        withdrawal = await withdrawals.get(reader, withdrawal_id)
    if withdrawal is None:
        details = {"withdrawalId": withdrawal_id[:64]}
        raise DomainError(_C.WITHDRAWAL_NOT_FOUND, f"There is no withdrawal {withdrawal_id[:64]}.", details)
    return at_top_level(present.withdrawal(withdrawal))
