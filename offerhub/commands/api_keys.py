"""Create and revoke API keys. The secret is shown once and kept only as a hash."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.storage import api_keys
from offerhub.storage.api_keys import ApiKeyRecord
from offerhub.storage.unit_of_work import Transaction, new_id

SCOPES = ("read", "write", "support", "admin", "*")


@dataclass(frozen=True)
class CreateApiKey:
    name: str
    scopes: tuple[str, ...]
    expires_at: datetime | None = None
    allowed_ips: tuple[str, ...] = ()
    live: bool = False


@dataclass(frozen=True)
class CreatedKey:
    record: ApiKeyRecord
    secret: str

    def __repr__(self) -> str:
        return f"CreatedKey({self.record.id})"


def hash_secret(secret: str) -> str:
    """Secrets are 256 random bits, so one round of SHA-256 is as strong as any slower hash."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def create_api_key(transaction: Transaction, request: CreateApiKey) -> CreatedKey:
    """Returns the whole key ``ohk_<live|test>_<id>_<secret>``, for this once."""
    key_id = new_id("key")
    secret = secrets.token_hex(32)
    full = f"ohk_{'live' if request.live else 'test'}_{key_id.removeprefix('key_')}_{secret}"
    record = ApiKeyRecord(
        id=key_id,
        name=request.name,
        secret_hash=hash_secret(secret),
        scopes=list(request.scopes),
        allowed_ips=list(request.allowed_ips),
        expires_at=request.expires_at,
        created_at=transaction.now,
    )
    await api_keys.insert(transaction, record)
    transaction.emit(Event("api_key.created", key_id, {"keyId": key_id, "name": request.name}))
    transaction.audit("api_key.created", ("api_key", key_id), None, {"name": request.name, "scopes": list(request.scopes)})
    return CreatedKey(record, full)


async def revoke_api_key(transaction: Transaction, key_id: str) -> ApiKeyRecord:
    """Revoking twice is harmless."""
    record = await api_keys.get(transaction, key_id)
    if record is None:
        raise DomainError(ErrorCode.API_KEY_NOT_FOUND, f"There is no API key {key_id}.", {"keyId": key_id})
    if await api_keys.revoke(transaction, key_id):
        transaction.emit(Event("api_key.revoked", key_id, {"keyId": key_id, "name": record.name}))
        transaction.audit("api_key.revoked", ("api_key", key_id), {"revokedAt": None}, {"revokedAt": transaction.now.isoformat()})
    return record
