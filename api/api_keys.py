"""API keys: create, list, rotate, revoke; short-lived tokens; and who a key is."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import Query, Response

from api import idempotency, present
from api.answers import API_PREFIX, Answer, ok, page, success
from api.auth import KEYS_CHANGED, MASTER_ID, Scope, Tokens
from api.call import Call, CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.api_keys import ApiKey, ApiKeyQuery, CreateApiKeyBody, CreateTokenBody, Me, NewApiKey, NewToken, RotateBody
from api.schemas.fields import NoBody
from offerhub.commands.api_keys import CreateApiKey, create_api_key, revoke_api_key, rotate_api_key
from offerhub.commands.api_tokens import CreateToken, create_token
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.scopes import EVERYTHING
from offerhub.domain.times import iso
from offerhub.storage import api_keys
from offerhub.storage.unit_of_work import Transaction

routes = Routes("API keys")
_C = ErrorCode
_CREATE = Documented("Create an API key", One[NewApiKey], 201)
_LIST = Documented("List API keys", Page[ApiKey])
_REVOKE = Documented("Revoke an API key", One[ApiKey], errors=(_C.API_KEY_NOT_FOUND,))
_ROTATE = Documented("Give an API key a new secret", One[NewApiKey], errors=(_C.API_KEY_NOT_FOUND, _C.INVALID_STATE))
_TOKEN_ERRORS = (_C.API_KEY_NOT_FOUND, _C.INVALID_STATE, _C.USER_NOT_FOUND)
_TOKEN = Documented("Make a short-lived token of this key", One[NewToken], 201, errors=_TOKEN_ERRORS)
_TOKEN_OF = Documented("Make a short-lived token of a key", One[NewToken], 201, errors=_TOKEN_ERRORS)


@routes.post("/auth/api-keys", Scope.ADMIN, _CREATE, tokens=Tokens.NONE)
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


@routes.get("/auth/api-keys", Scope.ADMIN, _LIST, tokens=Tokens.NONE)
async def list_keys(call: CurrentCall, query: Annotated[ApiKeyQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        found = await api_keys.page(reader, query.cursor, query.limit + 1)
    return page(found, query.limit, lambda key: present.api_key(key, live=is_live(call)))


@routes.post("/auth/api-keys/{key_id}/rotate", Scope.ADMIN, _ROTATE, tokens=Tokens.NONE)
async def rotate_key(call: CurrentCall, key_id: str, body: RotateBody) -> Response:
    """The key keeps its id, name, scopes and expiry. The old secret is accepted for `overlapSeconds` more, and so are the tokens made
    with it; a secret still in the overlap of an earlier rotation ends at once. `apiKey` is in this answer only; a replay has null there.
    """
    live = is_live(call)

    async def work(transaction: Transaction) -> Answer:
        rotated = await rotate_api_key(transaction, key_id, timedelta(seconds=body.overlap_seconds), live=live)
        shown = present.api_key(rotated.record, live=live)
        return Answer(200, success({**shown, "apiKey": rotated.secret}), kept_body=success({**shown, "apiKey": None}))

    answer = await idempotency.run(call, work)
    await _tell_everybody(call)
    return answer.response()


@routes.delete("/auth/api-keys/{key_id}", Scope.ADMIN, _REVOKE, tokens=Tokens.NONE)
async def revoke_key(call: CurrentCall, key_id: str, _body: NoBody | None = None) -> Response:
    """With its tokens. Requests are refused everywhere within a second, open event streams end within two. Revoking twice is harmless."""

    async def work(transaction: Transaction) -> Answer:
        await revoke_api_key(transaction, key_id)
        revoked = await api_keys.get(transaction, key_id)
        assert revoked is not None, "found by the command"
        return Answer(200, success(present.api_key(revoked, live=is_live(call))))

    answer = await idempotency.run(call, work)
    await _tell_everybody(call)
    return answer.response()


@routes.post("/auth/token", Scope.WRITE, _TOKEN, tokens=Tokens.NONE)
async def make_token(call: CurrentCall, body: CreateTokenBody | None = None) -> Response:
    """For a frontend: with `userId`, the token shows that user's events, balance and wallet, and nothing else.

    Without, it has the key's scopes or those of them that are asked for. Neither can make keys or tokens. It ends with its key and with
    the secret it was made with. `token` is in this answer only; a replay has null there.
    """
    if call.caller.key is None:
        details = {"requiredScope": Scope.WRITE.value, "currentScopes": list(call.caller.scopes)}
        raise DomainError(_C.INSUFFICIENT_SCOPE, "The master key has no tokens; make one of an API key.", details)
    return await _make_token(call, call.caller.key.id, body or CreateTokenBody())


@routes.post("/auth/api-keys/{key_id}/token", Scope.WRITE, _TOKEN_OF, tokens=Tokens.NONE)
async def make_token_of(call: CurrentCall, key_id: str, body: CreateTokenBody | None = None) -> Response:
    """As `/auth/token`. Tokens of another key than one's own are made by `admin` only."""
    if key_id != call.caller.id and not EVERYTHING & set(call.caller.scopes):
        details = {"requiredScope": Scope.ADMIN.value, "currentScopes": list(call.caller.scopes)}
        raise DomainError(_C.INSUFFICIENT_SCOPE, "Only admin makes tokens of another key.", details)
    return await _make_token(call, key_id, body or CreateTokenBody())


@routes.get("/me", Scope.ANY, Documented("Who this key is", One[Me]), tokens=Tokens.BOUND)
async def get_me(call: CurrentCall) -> Response:
    key, token = call.caller.key, call.caller.token
    ends = token.expires_at if token else key.expires_at if key else None
    return ok(
        {
            "id": call.caller.id,
            "name": key.name if key else MASTER_ID,
            "scopes": list(call.caller.scopes),
            "expiresAt": iso(ends),
            "tokenId": token.id if token else None,
            "userId": call.caller.bound_to,
            "marketplaceId": call.services.settings.marketplace_id,
        }
    )


@routes.get("/auth/me", Scope.ANY, Documented("Who this key is", One[Me]), tokens=Tokens.BOUND)
async def get_auth_me(call: CurrentCall) -> Response:
    """The same as `/me`."""
    return await get_me(call)


async def _make_token(call: Call, key_id: str, body: CreateTokenBody) -> Response:
    request = CreateToken(
        key_id=key_id,
        scopes=tuple(dict.fromkeys(body.scopes)) if body.scopes else None,
        user_id=body.user_id,
        ttl=timedelta(seconds=body.ttl_seconds),
        made_with=call.caller.secret_hash if key_id == call.caller.id else None,
    )

    async def work(transaction: Transaction) -> Answer:
        made = await create_token(transaction, request)
        token = made.record
        shown = {"id": token.id, "keyId": token.key_id, "scopes": token.scopes, "userId": token.user_id, "expiresAt": iso(token.expires_at)}
        # Read with the token itself, it says what the token may do.
        return Answer(201, success({**shown, "token": made.secret}), f"{API_PREFIX}/auth/me", kept_body=success({**shown, "token": None}))

    return (await idempotency.run(call, work)).response()


async def _tell_everybody(call: Call) -> None:
    call.services.keyring.read_again()
    await call.services.nudges.publish(frozenset({KEYS_CHANGED}))


def is_live(call: Call) -> bool:
    return call.services.settings.stellar_network == "mainnet"
