"""Users: create, read, change."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from api import idempotency, present, problems
from api.answers import API_PREFIX, Answer, ok, page, success
from api.auth import Scope
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.fields import METADATA_KEYS
from api.schemas.users import ChangeUserBody, CreateUserBody, User, UserQuery
from offerhub.commands import users as commands
from offerhub.commands.users import ChangeUser, CreateUser
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import ledger, users
from offerhub.storage.unit_of_work import Transaction
from offerhub.storage.users import UserAccount, UserFilter, UserRecord

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
    return page(found, query.limit, _present)


@routes.get("/users/{user_id}", Scope.READ, Documented("Read a user", One[User], errors=_MISSING))
async def get_user(call: CurrentCall, user_id: str) -> Response:
    async with call.services.database.reading() as reader:
        account = await users.account(reader, user_id)
    if account is None:
        raise no_such_user(user_id)
    return ok(_present(account))


@routes.get("/users/by-external/{external_user_id:path}", Scope.READ, Documented("Read a user by your own id", One[User], errors=_MISSING))
async def get_user_by_external_id(call: CurrentCall, external_user_id: str) -> Response:
    async with call.services.database.reading() as reader:
        account = await users.account_by_external_id(reader, external_user_id)
    if account is None:
        raise no_such_user(external_user_id)
    return ok(_present(account))


@routes.patch("/users/{user_id}", Scope.WRITE, Documented("Change a user", One[User], errors=_MISSING))
async def change_user(call: CurrentCall, user_id: str, body: ChangeUserBody) -> Response:
    """A suspended user starts nothing new: no orders, no withdrawals. What is his still reaches him: deposits, releases, refunds."""
    wish = ChangeUser(body.email, body.type, body.status, body.metadata)

    async def work(transaction: Transaction) -> Answer:
        user = await commands.change_user(transaction, user_id, wish)
        if len(user.metadata) > METADATA_KEYS:
            raise problems.invalid([("metadata", f"at most {METADATA_KEYS} keys")])
        return Answer(200, success(present.user(user, await ledger.user_balance(transaction, user.id))))

    return (await idempotency.run(call, work)).response()


def found(user: UserRecord | None, asked_for: str) -> UserRecord:
    if user is None:
        raise no_such_user(asked_for)
    return user


def no_such_user(asked_for: str) -> DomainError:
    return DomainError(ErrorCode.USER_NOT_FOUND, f"There is no user {asked_for[:255]}.", {"userId": asked_for[:255]})


def _present(account: UserAccount) -> dict[str, Any]:
    return present.user(account.user, account.balance)
