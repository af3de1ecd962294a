"""All configuration, typed, from the environment only. Starting with a bad or missing combination is refused, naming the variable."""

from __future__ import annotations

import sys
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from offerhub.domain.errors import DomainError
from offerhub.domain.money import parse_amount

TESTNET_PASSPHRASE = "Test SDF Network ; September 2015"  # noqa: S105 - public name of a network
MAINNET_PASSPHRASE = "Public Global Stellar Network ; September 2015"  # noqa: S105 - public name of a network

_KNOWN: dict[str, dict[str, str]] = {
    "testnet": {
        "network_passphrase": TESTNET_PASSPHRASE,
        "horizon_url": "https://horizon-testnet.stellar.org",
        "stellar_rpc_url": "https://soroban-testnet.stellar.org",
        "friendbot_url": "https://friendbot.stellar.org",
        "usdc_issuer": "GBBD47IF6LWK7P7MDEVSCWR7DPUWV3NY3DTQEVFL4NAT4AQH3ZLLFLA5",
        "trustless_work_url": "https://dev.api.trustlesswork.com",
        "trustless_work_fee_address": "GA6KH5VWPCHBOEF63X57SPX6T4H366YFFKKGCVDBTXT2N7JVL6PJCK7G",
    },
    "mainnet": {
        "network_passphrase": MAINNET_PASSPHRASE,
        "horizon_url": "https://horizon.stellar.org",
        "usdc_issuer": "GA5ZSEJYB37JRC5AVCIA5MOP4RHTM335X2KGX3IHOJAPP5RE34K4KZVN",
        "trustless_work_url": "https://api.trustlesswork.com",
        "trustless_work_fee_address": "GBWWSOATPLIC72ZBOIM7WJCT7VCAHNWW4QUBZ2H4FORMCCIUM5ZVKSZN",
    },
}


class Settings(BaseSettings):
    """One instance per process, made by the composition roots; nobody else reads the environment."""

    model_config = SettingsConfigDict(extra="ignore", hide_input_in_errors=True)

    host: str = "127.0.0.1"
    port: int = 4000
    database_url: str
    redis_url: str
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "offerhub"
    worker_roles: str = "orders,trustless,custody,streams"

    stellar_network: Literal["sandbox", "testnet", "mainnet"] = "sandbox"
    network_passphrase: str = ""
    horizon_url: str = ""
    friendbot_url: str = ""
    usdc_issuer: str = ""
    trustless_work_url: str = ""
    trustless_work_api_key: str = Field(default="", repr=False)
    trustless_work_factory: str = ""
    trustless_work_wasm_hash: str = ""
    # Of the multi-release escrow; without it there are no orders that are paid per milestone.
    trustless_work_multi_wasm_hash: str = ""
    trustless_work_fee_address: str = ""
    trustless_work_requests_per_minute: int = Field(default=50, ge=0)
    # Horizon does not show contracts: before money goes into one it is read back from a Stellar RPC server.
    stellar_rpc_url: str = ""

    platform_fee_bps: int = Field(default=0, ge=0, le=9_900)
    # A refund costs the contract's fees; with this the platform pays them back out of what it has earned.
    make_buyer_whole: bool = False
    # After how long an undecided dispute is escalated, and decided by default (FULL_RELEASE or FULL_REFUND; empty: never).
    dispute_escalates_after_s: int = Field(default=259_200, ge=0)
    dispute_decides_after_s: int = Field(default=1_209_600, ge=0)
    dispute_default_decision: Literal["", "FULL_RELEASE", "FULL_REFUND"] = ""
    platform_signers: int = Field(default=4, ge=1, le=100)
    wallet_stock: int = Field(default=19, ge=1, le=10_000)
    # A withdrawal costs us a network fee, so dust is not paid out. A decimal amount of USDC.
    min_withdrawal: str = "0.01"
    # Whether a key with the scope admin may correct the books by hand.
    ledger_adjustments_enabled: bool = False
    reconciliation_minutes: int = Field(default=60, ge=0, le=1_440)
    # Below this many spendable XLM, an account of the platform raises an alert before it stops anything.
    platform_low_xlm: int = Field(default=50, ge=0)
    max_fee_stroops: int = Field(default=20_000_000, ge=100)
    outbox_background_per_second: int = Field(default=10, ge=1)

    offerhub_master_key: str = Field(default="", repr=False)
    wallet_encryption_key: str = Field(default="", repr=False)
    wallet_encryption_key_file: str = ""
    # Base64 of 32 random bytes: seals the signing secrets of webhook endpoints. Needed by the API and the role streams.
    webhook_encryption_key: str = Field(default="", repr=False)
    # Whether events may be sent to addresses that are not public, and without TLS; empty: on the sandbox only.
    webhook_allow_private_targets: Literal["", "true", "false"] = ""
    marketplace_id: str = "default"
    # Addresses and networks whose X-Forwarded-For says who is calling; without any, the connection's own address counts.
    trusted_proxies: str = ""
    # Requests per minute, 0 for no limit: of an API key; of an address without a valid key; event streams opened with a key;
    # withdrawals of one user.
    rate_limit_key_per_minute: int = Field(default=100, ge=0)
    rate_limit_address_per_minute: int = Field(default=100, ge=0)
    rate_limit_streams_per_minute: int = Field(default=100, ge=0)
    rate_limit_withdrawals_per_minute: int = Field(default=5, ge=0)
    # Who may read /metrics: networks, comma-separated; empty for nobody. Nobody may through a proxy.
    metrics_allowed_networks: str = "127.0.0.0/8,::1/128"
    log_level: str = "INFO"
    log_format: Literal["json", "console"] = "json"

    @field_validator("trusted_proxies", "metrics_allowed_networks")
    @classmethod
    def _networks(cls, value: str) -> str:
        """Of a proxy: whoever is named here may say any address, so everybody (``*``) cannot be."""
        for network in filter(None, (part.strip() for part in value.split(","))):
            ip_network(network)
        return value

    @model_validator(mode="after")
    def _complete(self) -> Settings:
        for name, value in _KNOWN.get(self.stellar_network, {}).items():
            if name == "network_passphrase" or not getattr(self, name):
                setattr(self, name, value)
        needed = ["network_passphrase", "horizon_url", "stellar_rpc_url", "usdc_issuer", "trustless_work_url", "trustless_work_api_key"]
        needed += ["trustless_work_factory", "trustless_work_wasm_hash", "trustless_work_fee_address"]
        missing = [name.upper() for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"set {', '.join(missing)} for STELLAR_NETWORK={self.stellar_network}")
        try:
            parse_amount(self.min_withdrawal)
        except DomainError as error:
            raise ValueError(f"MIN_WITHDRAWAL: {error.message}") from None
        unknown = self.roles - {"orders", "trustless", "custody", "streams"}
        if unknown:
            raise ValueError(f"WORKER_ROLES knows orders, trustless, custody and streams, not {', '.join(sorted(unknown))}")
        return self

    @property
    def min_withdrawal_stroops(self) -> int:
        return parse_amount(self.min_withdrawal)

    @property
    def allows_private_webhooks(self) -> bool:
        return (self.webhook_allow_private_targets or str(self.stellar_network == "sandbox").lower()) == "true"

    @property
    def metrics_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        return tuple(ip_network(part.strip()) for part in self.metrics_allowed_networks.split(",") if part.strip())

    @property
    def roles(self) -> frozenset[str]:
        return frozenset(role.strip() for role in self.worker_roles.split(",") if role.strip())


def load_settings() -> Settings:
    """Read the environment or end the process with one line that names what is wrong."""
    try:
        return Settings()
    except ValidationError as problem:
        lines = [f"{'.'.join(str(part) for part in error['loc']).upper() or 'settings'}: {error['msg']}" for error in problem.errors()]
        sys.stderr.write("configuration: " + "; ".join(lines) + "\n")
        sys.exit(2)
