"""Deposits: what the chain brought, credited or refused."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api import present
from api.answers import ok, page
from api.auth import Scope
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.deposits import Deposit, DepositQuery
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import deposits
from offerhub.storage.deposits import DepositFilter

routes = Routes("Deposits")


@routes.get("/deposits", Scope.READ, Documented("List deposits", Page[Deposit]))
async def list_deposits(call: CurrentCall, query: Annotated[DepositQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        found = await deposits.page(reader, DepositFilter(query.user_id, query.status), query.cursor, query.limit + 1)
    return page(found, query.limit, present.deposit)


@routes.get("/deposits/{deposit_id}", Scope.READ, Documented("Read a deposit", One[Deposit], errors=(ErrorCode.DEPOSIT_NOT_FOUND,)))
async def get_deposit(call: CurrentCall, deposit_id: str) -> Response:
    async with call.services.database.reading() as reader:
        deposit = await deposits.get(reader, deposit_id)
    if deposit is None:
        raise DomainError(ErrorCode.DEPOSIT_NOT_FOUND, f"There is no deposit {deposit_id[:64]}.", {"depositId": deposit_id[:64]})
    return ok(present.deposit(deposit))
