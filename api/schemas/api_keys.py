"""API keys."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, StringConstraints

from api.schemas.fields import Body, Shape, Time, Title, no_null

KeyScope = Literal["read", "write", "support", "admin", "*"]


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
    expires_at: Annotated[AwareDatetime, AfterValidator(_check_future)] | None = None
    allowed_ips: Annotated[list[Network], Field(max_length=50), no_null([])] = Field(default_factory=list)


class ApiKey(Shape):
    """``masked`` is what can be shown of a key: never the secret."""

    id: str
    name: str
    masked: str
    scopes: list[str]
    allowed_ips: list[str]
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None
    created_at: Time | None


class NewApiKey(ApiKey):
    """``apiKey`` is shown once; a replay of the request answers null, as it is stored nowhere."""

    api_key: str | None


class Me(Shape):
    """``id`` is ``master`` for the master key."""

    id: str
    name: str
    scopes: list[str]
    expires_at: Time | None
    marketplace_id: str
