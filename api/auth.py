"""Who is calling and what he may do: keys, scopes, and the short memory of keys seen."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from offerhub.commands.api_keys import hash_secret
from offerhub.domain.context import Context
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import api_keys
from offerhub.storage.api_keys import ApiKeyRecord
from offerhub.storage.unit_of_work import Database

MASTER_ID = "master"
_FRESH_S = 1.0
_REMEMBERED = 10_000
_KEY = re.compile(r"ohk_(live|test)_([0-9a-z]{1,40})_([0-9a-f]{64})", re.ASCII)


class Scope(StrEnum):
    """What a route asks for. ``PUBLIC`` asks for nothing, ``ANY`` for a valid key."""

    PUBLIC = "public"
    ANY = "any"
    READ = "read"
    WRITE = "write"
    SUPPORT = "support"
    ADMIN = "admin"


@dataclass(frozen=True)
class Caller:
    """``record`` is None for the master key, which is configuration, not a row."""

    id: str
    scopes: tuple[str, ...]
    record: ApiKeyRecord | None = None

    def require(self, scope: Scope) -> None:
        """``admin`` and ``*`` imply everything, ``support`` implies ``read``; ``write`` does not."""
        granted = set(self.scopes)
        if scope in (Scope.PUBLIC, Scope.ANY) or granted & {"*", "admin", scope.value}:
            return
        if scope is Scope.READ and "support" in granted:
            return
        details = {"requiredScope": scope.value, "currentScopes": list(self.scopes)}
        raise DomainError(ErrorCode.INSUFFICIENT_SCOPE, f"This needs a key with the scope {scope.value}.", details)


ANONYMOUS = Caller("anonymous", ())


class Keyring:
    """Recognises callers. A key's row is remembered for a second, so a revocation holds everywhere within one."""

    def __init__(self, database: Database, master_key: str, *, live: bool) -> None:
        self._database = database
        self._master_hash = hash_secret(master_key) if master_key else ""
        self._kind = "live" if live else "test"
        self._seen: dict[str, tuple[float, ApiKeyRecord | None]] = {}
        self._used: set[str] = set()

    async def recognise(self, headers: Mapping[str, str], address: str) -> Caller:
        """Raises ``UNAUTHORIZED``, ``INVALID_API_KEY`` or ``IP_NOT_ALLOWED``; never says which part of a key is wrong."""
        presented = _presented(headers)
        if self._master_hash and hmac.compare_digest(hash_secret(presented), self._master_hash):
            return Caller(MASTER_ID, ("admin",))
        parts = _KEY.fullmatch(presented)
        record = await self._record(f"key_{parts[2]}") if parts else None
        # Compared in any case, so that an unknown id takes as long as a wrong secret.
        expected = record.secret_hash if record else hashlib.sha256(b"").hexdigest()
        matches = hmac.compare_digest(hash_secret(parts[3] if parts else ""), expected)
        if parts is None or record is None or not matches or parts[1] != self._kind or not usable(record):
            raise DomainError(ErrorCode.INVALID_API_KEY, "The API key is not valid, has expired or was revoked.")
        _check_address(record, address)
        self._used.add(record.id)
        return Caller(record.id, tuple(record.scopes), record)

    async def still_valid(self, caller: Caller) -> bool:
        """For streams that outlive the look at their key."""
        if caller.record is None:
            return True
        record = await self._record(caller.id)
        return record is not None and usable(record)

    def forget(self, key_id: str) -> None:
        self._seen.pop(key_id, None)

    async def note_use(self) -> None:
        """Write ``last_used_at`` of the keys seen since the last call; called in the background, never by a request."""
        used, self._used = self._used, set()
        if used:
            async with self._database.transaction(Context("system", "keyring")) as transaction:
                await api_keys.mark_used(transaction, sorted(used))

    async def _record(self, key_id: str) -> ApiKeyRecord | None:
        read_at, record = self._seen.get(key_id, (0.0, None))
        if time.monotonic() - read_at < _FRESH_S:
            return record
        async with self._database.reading() as transaction:
            record = await api_keys.get(transaction, key_id)
        if len(self._seen) >= _REMEMBERED:
            self._seen.clear()
        self._seen[key_id] = (time.monotonic(), record)
        return record


def usable(record: ApiKeyRecord) -> bool:
    return record.revoked_at is None and (record.expires_at is None or record.expires_at > datetime.now(UTC))


def _presented(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    presented = token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
    if not presented:
        raise DomainError(ErrorCode.UNAUTHORIZED, "Send an API key: Authorization: Bearer ohk_… or x-api-key: ohk_….")
    return presented


def _check_address(record: ApiKeyRecord, address: str) -> None:
    if not record.allowed_ips:
        return
    try:
        caller = ipaddress.ip_address(address)
    except ValueError:
        caller = None
    if caller is None or not any(caller in ipaddress.ip_network(allowed, strict=False) for allowed in record.allowed_ips):
        raise DomainError(ErrorCode.IP_NOT_ALLOWED, "This key may not be used from this address.", {"address": address})
