"""Who is calling and what he may do: keys, tokens, scopes, and the short memory of keys seen."""

from __future__ import annotations

import hmac
import ipaddress
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from offerhub.commands.api_keys import hash_secret
from offerhub.domain.context import Context
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.scopes import grants
from offerhub.storage import api_keys, api_tokens
from offerhub.storage.api_keys import ApiKeyRecord
from offerhub.storage.api_tokens import TokenRecord
from offerhub.storage.unit_of_work import Database
from offerhub.stream.nudges import Nudges
from offerhub.stream.stopping import told_to_stop

MASTER_ID = "master"
# The kind of nudge that makes every process read its keys again.
KEYS_CHANGED = "api_keys"
# A revocation holds everywhere within this time, nudge or not.
_FRESH_S = 1.0
_REMEMBERED = 10_000
_USE_NOTED_EVERY = timedelta(minutes=1)
_NUDGE_WAIT_S = 60.0
_PRESENTED = re.compile(r"ohk_(live|test|tok)_([0-9a-z]{1,40})_([0-9a-f]{64})", re.ASCII)

Remembered = TypeVar("Remembered")


class Scope(StrEnum):
    """What a route asks for. ``PUBLIC`` asks for nothing, ``ANY`` for a valid key."""

    PUBLIC = "public"
    ANY = "any"
    READ = "read"
    WRITE = "write"
    SUPPORT = "support"
    TAKE_PART = "write or support"
    ADMIN = "admin"


class Tokens(StrEnum):
    """Which short-lived tokens a route takes besides keys.

    ``NONE`` is for making keys and tokens: a token that leaked must not be able to outlive itself. ``BOUND`` takes those bound to a user
    too: where the path names a ``user_id`` it must be his, and where it does not, the handler keeps to ``Caller.bound_to``.
    """

    NONE = "none"
    UNBOUND = "unbound"
    BOUND = "bound"


@dataclass(frozen=True)
class Caller:
    """``id`` is the key's, also for a token: its idempotency keys, audit entries and limits are the key's.

    ``key`` is None for the master key, which is configuration, not a row.
    """

    id: str
    scopes: tuple[str, ...]
    key: ApiKeyRecord | None = None
    token: TokenRecord | None = None
    secret_hash: str = field(default="", repr=False)

    @property
    def bound_to(self) -> str | None:
        """The only user whose events and figures this caller may see."""
        return self.token.user_id if self.token else None

    @property
    def counted_as(self) -> str:
        """Whose requests these are to the rate limits: a token's are its key's, those of a bound token its user's."""
        return f"{self.id}:{self.bound_to}" if self.bound_to else self.id

    def require(self, scope: Scope, tokens: Tokens = Tokens.UNBOUND) -> None:
        if scope not in (Scope.PUBLIC, Scope.ANY) and not grants(self.scopes, scope.value):
            raise self._refused(f"This needs a key with the scope {scope.value}.", requiredScope=scope.value)
        if self.token is not None and tokens is Tokens.NONE:
            raise self._refused("This needs an API key; a token cannot do it.", requiredScope=scope.value)
        if self.bound_to is not None and tokens is not Tokens.BOUND:
            message = "A token bound to a user shows his events, balance and wallet, and nothing else."
            raise self._refused(message, requiredScope=scope.value, userId=self.bound_to)

    def require_user(self, user_id: str) -> None:
        """Of a token bound to a user: that this is him. The answer is the same for users that do not exist."""
        if self.bound_to is not None and user_id != self.bound_to:
            raise self._refused("This token is bound to another user.", requiredScope=Scope.READ.value, userId=self.bound_to)

    def _refused(self, message: str, **facts: str) -> DomainError:
        return DomainError(ErrorCode.INSUFFICIENT_SCOPE, message, {**facts, "currentScopes": list(self.scopes)})


ANONYMOUS = Caller("anonymous", ())


class Keyring:
    """Recognises callers. A key's row is remembered for a second, so a revocation holds everywhere within one; tokens never change."""

    def __init__(self, database: Database, master_key: str, *, live: bool) -> None:
        self._database = database
        self._master_hash = hash_secret(master_key) if master_key else ""
        self._kinds = ("live" if live else "test", "tok")
        self._keys: dict[str, tuple[float, ApiKeyRecord]] = {}
        self._tokens: dict[str, TokenRecord] = {}
        self._changed_at = 0.0
        self._used: set[str] = set()

    async def recognise(self, headers: Mapping[str, str], address: str, *, strangers: bool = True) -> Caller:
        """Raises ``UNAUTHORIZED``, ``INVALID_API_KEY`` or ``IP_NOT_ALLOWED``; never says which part of a key is wrong.

        Without ``strangers``, only keys that were seen here before are looked up, others are refused unread.
        """
        presented = _presented(headers)
        if self._master_hash and hmac.compare_digest(hash_secret(presented), self._master_hash):
            return Caller(MASTER_ID, ("admin",))
        parts = _PRESENTED.fullmatch(presented)
        key, token = None, None
        if parts is not None and parts[1] in self._kinds:
            name = f"{'tok' if parts[1] == 'tok' else 'key'}_{parts[2]}"
            if strangers or name in self._keys or name in self._tokens:
                key, token = await self._find(name)
        secret_hash = hash_secret(parts[3] if parts else "")
        if key is None or not _accepts(key, token, secret_hash):
            raise DomainError(ErrorCode.INVALID_API_KEY, "The API key is not valid, has expired or was revoked.")
        _check_address(key, address)
        self._used.add(key.id)
        return Caller(key.id, tuple(token.scopes if token else key.scopes), key, token, secret_hash)

    async def still_valid(self, caller: Caller) -> bool:
        """For streams that outlive the look at their key."""
        if caller.key is None:
            return True
        key = await self._key(caller.key.id)
        return key is not None and _accepts(key, caller.token, caller.secret_hash)

    def read_again(self) -> None:
        """Something was revoked or rotated: no row read before now is trusted."""
        self._changed_at = time.monotonic()

    async def follow(self, nudges: Nudges) -> None:
        """Until canceled; ``nudges`` must know ``KEYS_CHANGED``. A nudge that is lost costs the second that rows are remembered."""
        while not told_to_stop():
            await nudges.wait(KEYS_CHANGED, _NUDGE_WAIT_S)
            self.read_again()

    async def note_use(self) -> None:
        """Write ``last_used_at`` of the keys seen since the last call; called in the background, never by a request."""
        used, self._used = self._used, set()
        if used:
            async with self._database.transaction(Context("system", "keyring")) as transaction:
                await api_keys.mark_used(transaction, sorted(used), _USE_NOTED_EVERY)

    async def _find(self, name: str) -> tuple[ApiKeyRecord | None, TokenRecord | None]:
        """Only what exists is remembered, so wrong keys cost a look each and no memory."""
        if not name.startswith("tok_"):
            return await self._key(name), None
        token = self._tokens.get(name)
        if token is None:
            async with self._database.reading() as transaction:
                token = await api_tokens.get(transaction, name)
            if token is None:
                return None, None
            _remember(self._tokens, name, token)
        return await self._key(token.key_id), token

    async def _key(self, key_id: str) -> ApiKeyRecord | None:
        now = time.monotonic()
        read_at, key = self._keys.get(key_id, (0.0, None))
        if key is not None and now - read_at < _FRESH_S and read_at > self._changed_at:
            return key
        async with self._database.reading() as transaction:
            key = await api_keys.get(transaction, key_id)
        if key is not None:
            _remember(self._keys, key_id, (now, key))
        return key


def _accepts(key: ApiKeyRecord, token: TokenRecord | None, secret_hash: str) -> bool:
    now = datetime.now(UTC)
    ends = (key.expires_at, token.expires_at if token else None)
    if key.revoked_at is not None or any(end is not None and end <= now for end in ends):
        return False
    overlaps = key.previous_valid_until is not None and key.previous_valid_until > now
    if token is not None:
        is_current = token.key_generation == key.generation or (overlaps and token.key_generation == key.generation - 1)
        return is_current and hmac.compare_digest(secret_hash, token.secret_hash)
    previous = key.previous_secret_hash if overlaps else None
    return hmac.compare_digest(secret_hash, key.secret_hash) or hmac.compare_digest(secret_hash, previous or "")


def _remember(memory: dict[str, Remembered], name: str, what: Remembered) -> None:
    """The order of a dictionary is that of writing: the first was looked up longest ago."""
    memory.pop(name, None)
    if len(memory) >= _REMEMBERED:
        del memory[next(iter(memory))]
    memory[name] = what


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
    # A server that listens on IPv6 sees IPv4 callers as ::ffff:…
    caller = getattr(caller, "ipv4_mapped", None) or caller
    if caller is None or not any(caller in ipaddress.ip_network(allowed, strict=False) for allowed in record.allowed_ips):
        raise DomainError(ErrorCode.IP_NOT_ALLOWED, "This key may not be used from this address.", {"address": address})
