"""What a handler is given: the request's facts, checked once, and the services of the process."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, cast
from urllib.parse import parse_qsl

from fastapi import Depends, Request
from redis.asyncio import Redis

from api import problems
from api.auth import Caller, Keyring
from api.drain import Drain
from api.rate_limit import RateLimits
from offerhub.domain.context import Context
from offerhub.reconciliation.on_demand import WalletComparison
from offerhub.settings import Settings
from offerhub.stellar.destinations import Destinations
from offerhub.storage.unit_of_work import Database
from offerhub.stream.hub import Hub
from offerhub.stream.nudges import Nudges
from offerhub.stream.webhook_secrets import WebhookSecrets

DEFAULT_WAIT_S = 25
MAX_WAIT_S = 55
NOTHING_TO_QUOTE = "this request moves no money; it cannot be tried without being done"
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")
_DRY_RUN = {"dryRun", "dry_run"}
_BOOLEANS = {"true": True, "false": False}
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?")


@dataclass(frozen=True)
class Services:
    """Made by ``api/app.py``, shared by all requests of the process."""

    settings: Settings
    database: Database
    redis: Redis
    nudges: Nudges
    hub: Hub
    keyring: Keyring
    rate_limits: RateLimits
    destinations: Destinations
    wallet_comparison: WalletComparison
    webhook_secrets: WebhookSecrets
    drain: Drain


@dataclass(frozen=True)
class Call:
    """One authenticated request. ``idempotency_key`` and ``wait_s`` come from its headers, ``wait_s`` 0 meaning answer at once.

    ``moves_money`` is declared on its route: while the instance is drained, such a request begins nothing new; with ``dry_run`` it begins
    nothing at all and is answered with a quote.
    """

    services: Services
    caller: Caller
    request_id: str
    method: str
    path: str
    body: bytes
    idempotency_key: str | None
    wait_s: int
    moves_money: bool = False
    dry_run: bool = False

    @property
    def context(self) -> Context:
        return Context(actor_id=self.caller.id, correlation_id=self.request_id)

    @property
    def body_hash(self) -> str:
        return hashlib.sha256(self.body).hexdigest()


def describe(request: Request, services: Services, caller: Caller, body: bytes, *, moves_money: bool) -> Call:
    """Raises ``VALIDATION_ERROR`` for an ``Idempotency-Key`` that is not 1-255 visible ASCII characters, and for a query that a change
    does not know: whoever misspells ``dryRun`` must not move money by it.
    """
    key = request.headers.get("idempotency-key")
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise problems.invalid([("Idempotency-Key", "1 to 255 visible ASCII characters")])
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["path"]
    return Call(
        services=services,
        caller=caller,
        request_id=request.scope["request_id"],
        method=request.method,
        path=f"{path}?{query}" if query else path,
        body=body,
        idempotency_key=key,
        wait_s=wait_of(request.headers.get("prefer", "")),
        moves_money=moves_money,
        dry_run=request.method != "GET" and _is_dry_run(query),
    )


def _is_dry_run(query: str) -> bool:
    """``dryRun`` is all that the query of a change may hold."""
    wanted = False
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _DRY_RUN:
            raise problems.invalid([(name[:64], "is no parameter of this request")])
        if value not in _BOOLEANS:
            raise problems.invalid([(name, "true or false")])
        wanted = wanted or _BOOLEANS[value]
    return wanted


def wait_of(prefer: str) -> int:
    """Seconds to wait for an operation (RFC 7240); preferences that make no sense are ignored, as the RFC says."""
    wishes = [wish.strip().lower() for wish in prefer.split(",")]
    for wish in wishes:
        wait = _WAIT.fullmatch(wish)
        if wait:
            return min(int(wait[1]), MAX_WAIT_S)
    return 0 if "respond-async" in wishes else DEFAULT_WAIT_S


async def _current(request: Request) -> Call:
    return cast("Call", request.scope["call"])


CurrentCall = Annotated[Call, Depends(_current)]
