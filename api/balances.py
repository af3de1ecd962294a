"""Balances: now or at a moment, with the postings behind each figure. They change only through the domain's own commands."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NoReturn

from fastapi import Query, Response

from api import present
from api.answers import at_top_level
from api.auth import Scope, Tokens
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Endpoint, Routes
from api.schemas.answers import ErrorAnswer
from api.schemas.balances import BalanceQuery, BareBalance
from api.users import no_such_user
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount
from offerhub.domain.times import iso
from offerhub.storage import ledger, replay
from offerhub.storage.replay import FigureSource, Replay, UserPosting

routes = Routes("Balances")
_BALANCE = Documented("Read a user's balance", BareBalance, errors=(ErrorCode.USER_NOT_FOUND,))
_SHOWN_ENTRIES = 100
_ONE_MILLISECOND = timedelta(milliseconds=1)
_NO_SOURCE = FigureSource()


@routes.get("/users/{user_id}/balance", Scope.READ, _BALANCE, tokens=Tokens.BOUND)
async def get_user_balance(call: CurrentCall, user_id: str, query: Annotated[BalanceQuery, Query()]) -> Response:
    """The ledger's figures: `available` can be spent, `reserved` waits for an escrow, `inEscrow` is held by contracts.

    With `at` or `explain` they are summed up from the ledger's entries, which nobody can change afterwards.
    """
    async with call.services.database.reading() as reader:
        if query.at is None and not query.explain:
            balance = await ledger.balance_of(reader, user_id)
            if balance is None:
                raise no_such_user(user_id)
            return at_top_level(present.balance(user_id, balance))
        replayed = await replay.replay(reader, user_id, _end_of(query.at), _SHOWN_ENTRIES if query.explain else 0)
        if replayed is None:
            raise no_such_user(user_id)
        body = present.balance(user_id, replayed.balance)
        if query.at is not None:
            body["at"] = iso(query.at)
        if query.explain:
            shown = sorted({posting_id for source in replayed.sources.values() for posting_id in source.posting_ids})
            body["explanation"] = _explanation(replayed, await replay.postings(reader, user_id, shown))
    return at_top_level(body)


@routes.get("/balances/{user_id}", Scope.READ, _BALANCE, tokens=Tokens.BOUND)
async def get_balance(call: CurrentCall, user_id: str, query: Annotated[BalanceQuery, Query()]) -> Response:
    """The same as `/users/{id}/balance`."""
    return await get_user_balance(call, user_id, query)


def _end_of(moment: datetime | None) -> datetime | None:
    """Times are answered in milliseconds: asked for one of them, everything of its millisecond belongs to the answer."""
    if moment is None:
        return None
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000) + _ONE_MILLISECOND


def _explanation(replayed: Replay, postings: Sequence[UserPosting]) -> dict[str, Any]:
    by_id = {posting.id: posting for posting in postings}
    return {
        name: _figure(figure, getattr(replayed.balance, figure), replayed.sources.get(figure, _NO_SOURCE), by_id)
        for name, figure in zip(("available", "reserved", "inEscrow", "inTransit"), ledger.FIGURES, strict=True)
    }


def _figure(figure: str, amount: int, source: FigureSource, postings: dict[int, UserPosting]) -> dict[str, Any]:
    behind = [postings[posting_id] for posting_id in source.posting_ids]
    return {
        "amount": format_amount(amount),
        "earlierEntries": source.earlier_postings,
        "earlierAmount": format_amount(source.earlier_stroops),
        "entries": [{**present.posting(one), "amount": format_amount(getattr(one, figure))} for one in behind],
    }


# Calls of existing clients that would mint money or move it past the books, and what to call instead.
_INSTEAD = {
    "credit": "Money comes in as a deposit on the network: GET /users/{userId}/wallet/deposit says where to pay.",
    "debit": "Money goes out as a withdrawal: POST /withdrawals.",
    "reserve": "Money is reserved for an order: POST /orders/{orderId}/reserve.",
    "release": "Money reaches a seller out of an order's escrow: POST /orders/{orderId}/resolution/release.",
    "cancel-reservation": "A reservation ends with its order: POST /orders/{orderId}/cancel.",
    "deduct-reserved": "Reserved money goes into an order's escrow: POST /orders/{orderId}/escrow, then …/escrow/fund.",
}
_REFUSED = (ErrorCode.BALANCE_CHANGE_NOT_ALLOWED,)


def _refuse(change: str, instead: str) -> Endpoint:
    async def refuse(user_id: str) -> NoReturn:
        message = f"A balance is not changed directly. {instead}"
        raise DomainError(ErrorCode.BALANCE_CHANGE_NOT_ALLOWED, message, {"userId": user_id[:64], "instead": instead})

    refuse.__name__ = f"refuse_balance_{change.replace('-', '_')}"
    refuse.__doc__ = f"Always refused. {instead}"
    return refuse


for _change, _sentence in _INSTEAD.items():
    _documented = Documented(f"Not possible: {_change} a balance", ErrorAnswer, 403, errors=_REFUSED)
    routes.post(f"/users/{{user_id}}/balance/{_change}", Scope.WRITE, _documented)(_refuse(_change, _sentence))
