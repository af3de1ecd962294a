"""What a handler is given: the request's facts, checked once, and the services of the process."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, cast

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
_VISIBLE_ASCII = re.compile(r"[\x21-\x7e]{1,255}")
_DRY_RUN = "dryRun=true"
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
    """Raises ``VALIDATION_ERROR`` for an ``Idempotency-Key`` that is not 1-255 visible ASCII characters."""
    key = request.headers.get("idempotency-key")
    if key is not None and not _VISIBLE_ASCII.fullmatch(key):
        raise problems.invalid([("Idempotency-Key", "1 to 255 visible ASCII characters")])
    query = request.scope["query_string"].decode("latin-1")
    path = request.scope["path"]
    dry_run = _DRY_RUN in query
    if dry_run and not moves_money and request.method != "GET":
        raise problems.invalid([("dryRun", "this request moves no money; it cannot be tried without being done")])
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
        dry_run=dry_run,
    )


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
