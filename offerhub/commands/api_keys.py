"""Create, rotate and revoke API keys. A secret is shown once and kept only as a hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.times import iso
from offerhub.storage import api_keys
from offerhub.storage.api_keys import ApiKeyRecord
from offerhub.storage.unit_of_work import Transaction, new_id


@dataclass(frozen=True)
class CreateApiKey:
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None
    allowed_ips: tuple[str, ...] = ()
    live: bool = False


@dataclass(frozen=True)
class ShownKey:
    """A key with its secret, for this once."""

    record: ApiKeyRecord
    secret: str

    def __repr__(self) -> str:
        return f"ShownKey({self.record.id})"


def hash_secret(secret: str) -> str:
    """Secrets are 256 random bits, so one round of SHA-256 is as strong as any slower hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


def new_secret() -> str:
    return secrets.token_hex(32)


async def create_api_key(transaction: Transaction, request: CreateApiKey) -> ShownKey:
    """Returns the whole key ``ohk_<live|test>_<id>_<secret>``."""
    secret = new_secret()
    record = ApiKeyRecord(
        id=new_id("key"),
        name=request.name,
        secret_hash=hash_secret(secret),
        scopes=list(request.scopes),
        allowed_ips=list(request.allowed_ips),
        expires_at=request.expires_at,
        created_at=transaction.now,
    )
    await api_keys.insert(transaction, record)
    transaction.emit(Event("api_key.created", record.id, {"keyId": record.id, "name": request.name}))
    limits = {"scopes": record.scopes, "allowedIps": record.allowed_ips, "expiresAt": iso(record.expires_at)}
    transaction.audit("api_key.created", ("api_key", record.id), None, {"name": request.name, **limits})
    return ShownKey(record, _whole(record.id, secret, live=request.live))


async def rotate_api_key(transaction: Transaction, key_id: str, overlap: timedelta, *, live: bool) -> ShownKey:
    """A new secret; the one it replaces is accepted for the overlap, one before that no longer.

    Tokens end with the secret they were made with.
    """
    record = found(await api_keys.lock(transaction, key_id), key_id)
    refuse_ended(record, transaction.now)
    secret = new_secret()
    until = transaction.now + overlap
    await api_keys.rotate(transaction, key_id, hash_secret(secret), until)
    facts = {"keyId": key_id, "name": record.name, "previousValidUntil": iso(until)}
    transaction.emit(Event("api_key.rotated", key_id, facts))
    before = {"previousValidUntil": iso(record.previous_valid_until)}
    transaction.audit("api_key.rotated", ("api_key", key_id), before, {"previousValidUntil": iso(until)})
    rotated = await api_keys.get(transaction, key_id)
    assert rotated is not None, "locked above"
    return ShownKey(rotated, _whole(key_id, secret, live=live))


async def revoke_api_key(transaction: Transaction, key_id: str) -> ApiKeyRecord:
    """Revoking twice is harmless."""
    record = found(await api_keys.lock(transaction, key_id), key_id)
    if await api_keys.revoke(transaction, key_id):
        transaction.emit(Event("api_key.revoked", key_id, {"keyId": key_id, "name": record.name}))
        transaction.audit("api_key.revoked", ("api_key", key_id), {"revokedAt": None}, {"revokedAt": iso(transaction.now)})
    return record


def found(record: ApiKeyRecord | None, key_id: str) -> ApiKeyRecord:
    """Raises ``API_KEY_NOT_FOUND``."""
    if record is None:
        raise DomainError(ErrorCode.API_KEY_NOT_FOUND, f"There is no API key {key_id[:64]}.", {"keyId": key_id[:64]})
    return record


def refuse_ended(record: ApiKeyRecord, now: datetime) -> None:
    """Raises ``INVALID_STATE`` for a key that is revoked or expired."""
    state = "REVOKED" if record.revoked_at else "EXPIRED" if record.expires_at and record.expires_at <= now else "ACTIVE"
    if state != "ACTIVE":
        details = {"currentState": state, "allowedStates": ["ACTIVE"]}
        raise DomainError(ErrorCode.INVALID_STATE, f"API key {record.id} is {state.lower()}.", details)


def _whole(key_id: str, secret: str, *, live: bool) -> str:
    return f"ohk_{'live' if live else 'test'}_{key_id.removeprefix('key_')}_{secret}"
