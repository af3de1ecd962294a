"""API keys."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from api.schemas.answers import PageQuery
from api.schemas.fields import Body, Id, NullIs, RequestedTime, Shape, Time, Title

KeyScope = Literal["read", "write", "support", "admin", "*"]
MAX_OVERLAP_SECONDS = 7 * 24 * 3600
TOKEN_SECONDS = 900
MAX_TOKEN_SECONDS = 24 * 3600


def _check_network(value: str) -> str:
    ipaddress.ip_network(value, strict=False)
    return value


def _check_future(value: datetime) -> datetime:
    if value <= datetime.now(UTC):
        raise ValueError("must be in the future")
    return value


Network = Annotated[str, StringConstraints(max_length=64), AfterValidator(_check_network)]


class CreateApiKeyBody(Body):
    """``allowedIps`` are addresses or CIDR networks; empty means any."""

    name: Title
    scopes: list[KeyScope] = Field(min_length=1, max_length=5)
    expires_at: Annotated[RequestedTime, AfterValidator(_check_future)] | None = None
    allowed_ips: Annotated[list[Network], Field(max_length=50), NullIs([])] = Field(default_factory=list)


class RotateBody(Body):
    """How long the old secret is still accepted; 0 after a leak. There is no default, as either would surprise somebody."""

    overlap_seconds: int = Field(ge=0, le=MAX_OVERLAP_SECONDS, strict=True)


class CreateTokenBody(Body):
    """Without ``scopes`` the token has those of its key; with ``userId`` it can only read."""

    scopes: Annotated[list[KeyScope], Field(min_length=1, max_length=5)] | None = None
    user_id: Id | None = None
    ttl_seconds: Annotated[int, Field(ge=1, le=MAX_TOKEN_SECONDS, strict=True), NullIs(TOKEN_SECONDS)] = TOKEN_SECONDS


class ApiKey(Shape):
    """``masked`` is what can be shown of a key: never the secret. The secret before the last is accepted until ``previousValidUntil``.

    ``lastUsedAt`` is right to the minute.
    """

    id: str
    name: str
    masked: str
    scopes: list[str]
    allowed_ips: list[str]
    expires_at: Time | None
    revoked_at: Time | None
    previous_valid_until: Time | None
    last_used_at: Time | None
    created_at: Time | None


class NewApiKey(ApiKey):
    """``apiKey`` is shown once; a replay of the request answers null, as it is stored nowhere."""

    api_key: str | None


class NewToken(Shape):
    """``token`` is shown once; a replay of the request answers null, as it is stored nowhere."""

    id: str
    key_id: str
    scopes: list[str]
    user_id: str | None
    expires_at: Time
    token: str | None


class Me(Shape):
    """``id`` is ``master`` for the master key. Of a token it is the key's; ``expiresAt``, ``tokenId`` and ``userId`` are the token's."""

    id: str
    name: str
    scopes: list[str]
    expires_at: Time | None
    token_id: str | None
    user_id: str | None
    marketplace_id: str


class ApiKeyQuery(PageQuery):
    prefix = "key"
