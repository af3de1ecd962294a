"""API keys: create, list, revoke; and who a key is."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api import idempotency, present
from api.answers import API_PREFIX, Answer, iso, ok, page, success
from api.auth import MASTER_ID, Scope
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page, PageQuery
from api.schemas.api_keys import ApiKey, CreateApiKeyBody, Me, NewApiKey
from api.schemas.fields import NoBody
from offerhub.commands.api_keys import CreateApiKey, create_api_key, revoke_api_key
from offerhub.domain.errors import ErrorCode
from offerhub.storage import api_keys
from offerhub.storage.unit_of_work import Transaction

routes = Routes("API keys")
_REVOKE = Documented("Revoke an API key", One[ApiKey], errors=(ErrorCode.API_KEY_NOT_FOUND,))


@routes.post("/auth/api-keys", Scope.ADMIN, Documented("Create an API key", One[NewApiKey], 201))
async def create_key(call: CurrentCall, body: CreateApiKeyBody) -> Response:
    """`apiKey` is in this answer only: it is stored nowhere, so a replay of the request has null there."""
    live = is_live(call)

    async def work(transaction: Transaction) -> Answer:
        scopes = tuple(dict.fromkeys(body.scopes))
        request = CreateApiKey(body.name, scopes, body.expires_at, tuple(body.allowed_ips), live)
        created = await create_api_key(transaction, request)
        shown = present.api_key(created.record, live=live)
        kept = success({**shown, "apiKey": None})
        return Answer(201, success({**shown, "apiKey": created.secret}), f"{API_PREFIX}/auth/api-keys", kept_body=kept)

    return (await idempotency.run(call, work)).response()


@routes.get("/auth/api-keys", Scope.ADMIN, Documented("List API keys", Page[ApiKey]))
async def list_keys(call: CurrentCall, query: Annotated[PageQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        found = await api_keys.page(reader, query.cursor, query.limit + 1)
    return page(found, query.limit, lambda key: present.api_key(key, live=is_live(call)))


@routes.delete("/auth/api-keys/{key_id}", Scope.ADMIN, _REVOKE)
async def revoke_key(call: CurrentCall, key_id: str, _body: NoBody | None = None) -> Response:
    """Requests are refused everywhere within a second, open event streams end within two. Revoking twice is harmless."""

    async def work(transaction: Transaction) -> Answer:
        await revoke_api_key(transaction, key_id)
        revoked = await api_keys.get(transaction, key_id)
        assert revoked is not None, "found by the command"
        return Answer(200, success(present.api_key(revoked, live=is_live(call))))

    answer = await idempotency.run(call, work)
    call.services.keyring.forget(key_id)
    return answer.response()


@routes.get("/me", Scope.ANY, Documented("Who this key is", One[Me]))
async def get_me(call: CurrentCall) -> Response:
    record = call.caller.record
    return ok(
        {
            "id": call.caller.id,
            "name": record.name if record else MASTER_ID,
            "scopes": list(call.caller.scopes),
            "expiresAt": iso(record.expires_at) if record else None,
            "marketplaceId": call.services.settings.marketplace_id,
        }
    )


@routes.get("/auth/me", Scope.ANY, Documented("Who this key is", One[Me]))
async def get_auth_me(call: CurrentCall) -> Response:
    """The same as `/me`."""
    return await get_me(call)


def is_live(call: Call) -> bool:
    return call.services.settings.stellar_network == "mainnet"
