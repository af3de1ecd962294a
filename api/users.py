"""Users: create and read, with their balances."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api import idempotency, present
from api.answers import API_PREFIX, Answer, at_top_level, ok, page, success
from api.auth import Scope, Tokens
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.users import BareBalance, CreateUserBody, User, UserQuery
from offerhub.commands import users as commands
from offerhub.commands.users import CreateUser
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import ledger, users
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import UserFilter, UserRecord

routes = Routes("Users")
_MISSING = (ErrorCode.USER_NOT_FOUND,)


@routes.post("/users", Scope.WRITE, Documented("Create a user", One[User], 201, errors=(ErrorCode.USER_ALREADY_EXISTS,)))
async def create_user(call: CurrentCall, body: CreateUserBody) -> Response:
    """The user gets a wallet from the stock at once; while the stock is empty, `wallet.status` is `PENDING`."""

    async def work(transaction: Transaction) -> Answer:
        user = await commands.create_user(transaction, CreateUser(**dict(body)))
        balance = await ledger.user_balance(transaction, user.id)
        return Answer(201, success(present.user(user, balance)), f"{API_PREFIX}/users/{user.id}")

    return (await idempotency.run(call, work)).response()


@routes.get("/users", Scope.READ, Documented("List users", Page[User]))
async def list_users(call: CurrentCall, query: Annotated[UserQuery, Query()]) -> Response:
    wanted = UserFilter(query.type, query.status, query.external_user_id)
    async with call.services.database.reading() as reader:
        found = await users.page(reader, wanted, query.cursor, query.limit + 1)
        balances = await ledger.user_balances(reader, [user.id for user in found])
    return page(found, query.limit, lambda user: present.user(user, balances[user.id]))


@routes.get("/users/{user_id}", Scope.READ, Documented("Read a user", One[User], errors=_MISSING))
async def get_user(call: CurrentCall, user_id: str) -> Response:
    async with call.services.database.reading() as reader:
        user = found(await users.get(reader, user_id), user_id)
        return ok(present.user(user, await ledger.user_balance(reader, user.id)))


@routes.get("/users/by-external/{external_user_id:path}", Scope.READ, Documented("Read a user by your own id", One[User], errors=_MISSING))
async def get_user_by_external_id(call: CurrentCall, external_user_id: str) -> Response:
    async with call.services.database.reading() as reader:
        user = found(await users.by_external_id(reader, external_user_id), external_user_id)
        return ok(present.user(user, await ledger.user_balance(reader, user.id)))


@routes.get("/users/{user_id}/balance", Scope.READ, Documented("Read a user's balance", BareBalance, errors=_MISSING), tokens=Tokens.BOUND)
async def get_user_balance(call: CurrentCall, user_id: str) -> Response:
    """The ledger's figures: `available` can be spent, `reserved` waits for an escrow, `inEscrow` is held by contracts."""
    async with call.services.database.reading() as reader:
        user = found(await users.get(reader, user_id), user_id)
        return at_top_level(present.balance(user.id, await ledger.user_balance(reader, user.id)))


@routes.get("/balances/{user_id}", Scope.READ, Documented("Read a user's balance", BareBalance, errors=_MISSING), tokens=Tokens.BOUND)
async def get_balance(call: CurrentCall, user_id: str) -> Response:
    """The same as `/users/{id}/balance`."""
    return await get_user_balance(call, user_id)


def found(user: UserRecord | None, asked_for: str) -> UserRecord:
    if user is None:
        raise DomainError(ErrorCode.USER_NOT_FOUND, f"There is no user {asked_for[:255]}.", {"userId": asked_for[:255]})
    return user
