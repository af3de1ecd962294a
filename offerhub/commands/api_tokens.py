"""Make short-lived tokens of an API key. A token can do less than its key and ends before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from offerhub.commands.api_keys import found, hash_secret, new_secret, refuse_ended
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.scopes import READ, grants
from offerhub.domain.times import iso
from offerhub.storage import api_keys, api_tokens, users
from offerhub.storage.api_keys import ApiKeyRecord
from offerhub.storage.api_tokens import TokenRecord
from offerhub.storage.unit_of_work import Transaction, new_id


@dataclass(frozen=True)
class CreateToken:
    """``scopes`` None are the key's own. ``made_with`` is the hash of the secret presented; None when somebody else's key makes it."""

    key_id: str
    scopes: tuple[str, ...] | None
    user_id: str | None
    ttl: timedelta
    made_with: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class ShownToken:
    """A token with its secret, for this once."""

    record: TokenRecord
    secret: str

    def __repr__(self) -> str:
        return f"ShownToken({self.record.id})"


async def create_token(transaction: Transaction, request: CreateToken) -> ShownToken:
    """Returns the whole token ``ohk_tok_<id>_<secret>``. It outlives neither its key nor the secret it was made with."""
    key = found(await api_keys.get(transaction, request.key_id), request.key_id)
    refuse_ended(key, transaction.now)
    scopes = _scopes(request, key)
    if request.user_id is not None and await users.get(transaction, request.user_id) is None:
        raise DomainError(ErrorCode.USER_NOT_FOUND, f"There is no user {request.user_id}.", {"userId": request.user_id})
    generation, end_of_secret = _made_with(key, request.made_with, transaction.now)
    ends = [end for end in (key.expires_at, end_of_secret) if end is not None]
    secret = new_secret()
    token = TokenRecord(
        id=new_id("tok"),
        key_id=key.id,
        key_generation=generation,
        secret_hash=hash_secret(secret),
        scopes=list(scopes),
        user_id=request.user_id,
        expires_at=min([transaction.now + request.ttl, *ends]),
    )
    await api_tokens.insert(transaction, token)
    facts = {"tokenId": token.id, "userId": token.user_id, "expiresAt": iso(token.expires_at)}
    transaction.emit(Event("api_key.token_created", key.id, {"keyId": key.id, "name": key.name, **facts}))
    transaction.audit("api_key.token_created", ("api_key", key.id), None, {**facts, "scopes": token.scopes})
    return ShownToken(token, f"ohk_tok_{token.id.removeprefix('tok_')}_{secret}")


def _scopes(request: CreateToken, key: ApiKeyRecord) -> Sequence[str]:
    """A token bound to a user reads and does nothing else; any other has the key's scopes or a part of them."""
    if request.user_id is not None:
        scopes: Sequence[str] = request.scopes or (READ,)
        if tuple(scopes) != (READ,):
            message = "a token bound to a user has the scope read and no other"
            raise DomainError(ErrorCode.VALIDATION_ERROR, f"scopes: {message}", {"fields": [{"field": "scopes", "message": message}]})
    else:
        scopes = request.scopes or key.scopes
    for scope in scopes:
        if not grants(key.scopes, scope):
            details = {"requiredScope": scope, "currentScopes": key.scopes}
            raise DomainError(ErrorCode.INSUFFICIENT_SCOPE, f"The key cannot give the scope {scope}: it does not have it.", details)
    return scopes


def _made_with(key: ApiKeyRecord, secret_hash: str | None, now: datetime) -> tuple[int, datetime | None]:
    """The generation of a secret and when it ends, if that is known. It may have been rotated away since the request came in."""
    if secret_hash is None or secret_hash == key.secret_hash:
        return key.generation, None
    if secret_hash == key.previous_secret_hash and key.previous_valid_until is not None and key.previous_valid_until > now:
        return key.generation - 1, key.previous_valid_until
    raise DomainError(ErrorCode.INVALID_API_KEY, "This secret of the API key has just been replaced.")
