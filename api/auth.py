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
            raise self._refused("This needs an API key; a token cannot do it.")
        if self.bound_to is not None and tokens is not Tokens.BOUND:
            raise self._refused("A token bound to a user shows his events, balance and wallet, and nothing else.", userId=self.bound_to)

    def require_user(self, user_id: str) -> None:
        """Of a token bound to a user: that this is him. The answer is the same for users that do not exist."""
        if self.bound_to is not None and user_id != self.bound_to:
            raise self._refused("This token is bound to another user.", userId=self.bound_to)

    def _refused(self, message: str, **facts: str) -> DomainError:
        return DomainError(ErrorCode.INSUFFICIENT_SCOPE, message, {**facts, "currentScopes": list(self.scopes)})


ANONYMOUS = Caller("anonymous", ())


@dataclass(frozen=True)
class _Credential:
    """A key, or a token with its key."""

    key: ApiKeyRecord
    token: TokenRecord | None = None

    def accepts(self, secret_hash: str) -> bool:
        now = datetime.now(UTC)
        ends = (self.key.expires_at, self.token.expires_at if self.token else None)
        if self.key.revoked_at is not None or any(end is not None and end <= now for end in ends):
            return False
        right = [self.token.secret_hash if self.token else self.key.secret_hash]
        previous, until = self.key.previous_secret_hash, self.key.previous_valid_until
        if self.token is None and previous is not None and until is not None and until > now:
            right.append(previous)
        return any(hmac.compare_digest(secret_hash, each) for each in right)


class Keyring:
    """Recognises callers. A key's row is remembered for a second, so a revocation holds everywhere within one."""

    def __init__(self, database: Database, master_key: str, *, live: bool) -> None:
        self._database = database
        self._master_hash = hash_secret(master_key) if master_key else ""
        self._kinds = ("live" if live else "test", "tok")
        self._seen: dict[str, tuple[float, _Credential]] = {}
        self._changed_at = 0.0
        self._used: set[str] = set()

    async def recognise(self, headers: Mapping[str, str], address: str, *, strangers: bool = True) -> Caller:
        """Raises ``UNAUTHORIZED``, ``INVALID_API_KEY`` or ``IP_NOT_ALLOWED``; never says which part of a key is wrong.

        Without ``strangers``, only keys that were valid here before are looked up, others are refused unread.
        """
        presented = _presented(headers)
        if self._master_hash and hmac.compare_digest(hash_secret(presented), self._master_hash):
            return Caller(MASTER_ID, ("admin",))
        parts = _PRESENTED.fullmatch(presented)
        credential = None
        if parts is not None and parts[1] in self._kinds:
            credential_id = f"{'tok' if parts[1] == 'tok' else 'key'}_{parts[2]}"
            if strangers or credential_id in self._seen:
                credential = await self._credential(credential_id)
        secret_hash = hash_secret(parts[3] if parts else "")
        if credential is None or not credential.accepts(secret_hash):
            raise DomainError(ErrorCode.INVALID_API_KEY, "The API key is not valid, has expired or was revoked.")
        key, token = credential.key, credential.token
        _check_address(key, address)
        self._used.add(key.id)
        return Caller(key.id, tuple(token.scopes if token else key.scopes), key, token, secret_hash)

    async def still_valid(self, caller: Caller) -> bool:
        """For streams that outlive the look at their key."""
        if caller.key is None:
            return True
        credential = await self._credential(caller.token.id if caller.token else caller.key.id)
        return credential is not None and credential.accepts(caller.secret_hash)

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

    async def _credential(self, credential_id: str) -> _Credential | None:
        """Only what exists is remembered, so wrong keys cost a look each and no memory."""
        now = time.monotonic()
        read_at, credential = self._seen.get(credential_id, (0.0, None))
        if credential is not None and now - read_at < _FRESH_S and read_at > self._changed_at:
            return credential
        async with self._database.reading() as transaction:
            if credential_id.startswith("tok_"):
                found = await api_tokens.get(transaction, credential_id)
                credential = _Credential(found[1], found[0]) if found else None
            else:
                key = await api_keys.get(transaction, credential_id)
                credential = _Credential(key) if key else None
        self._seen.pop(credential_id, None)
        if credential is not None:
            # The order of the dictionary is that of the last look: the first has been idle longest.
            if len(self._seen) >= _REMEMBERED:
                del self._seen[next(iter(self._seen))]
            self._seen[credential_id] = (now, credential)
        return credential


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
