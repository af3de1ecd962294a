"""What the instance says of itself."""

from __future__ import annotations

from typing import Literal

from api.schemas.fields import Amount, Shape
from api.schemas.users import Asset

State = Literal["ok", "degraded", "down"]


class Health(Shape):
    status: Literal["ok"]


class Check(Shape):
    """``message`` says what is wrong; the rest belongs to single checks."""

    status: State
    latency_ms: int
    message: str | None = None
    ready: int | None = None
    waiting_users: int | None = None


class Checks(Shape):
    database: Check
    redis: Check
    temporal: Check
    horizon: Check
    trustless_work: Check
    wallet_stock: Check


class DetailedHealth(Shape):
    """``draining``: new money is refused for maintenance; null when the database cannot be asked."""

    status: State
    checks: Checks
    draining: bool | None


class Limits(Shape):
    max_body_bytes: int
    max_body_depth: int
    max_head_bytes: int
    max_page_size: int
    max_wait_seconds: int
    max_milestones: int
    max_metadata_keys: int
    max_metadata_characters: int
    max_token_seconds: int
    min_withdrawal: Amount


class RateLimits(Shape):
    """0 is no limit."""

    key_per_minute: int
    address_per_minute: int
    streams_per_minute: int
    withdrawals_per_user_per_minute: int


class Fees(Shape):
    platform_fee_bps: int
    protocol_fee_bps: int


class Config(Shape):
    """``draining`` as in the detailed health."""

    version: str
    api_version: Literal["v1"]
    network: Literal["sandbox", "testnet", "mainnet"]
    network_passphrase: str
    asset: Asset
    escrow_provider: Literal["trustless_work"]
    fees: Fees
    limits: Limits
    rate_limits: RateLimits
    draining: bool | None
    features: list[str]
