"""The accounts a sandbox network is born with; every key follows from the passphrase, so two sandboxes agree without talking."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from stellar_sdk import Asset, Keypair

NETWORK_PASSPHRASE = "OFFER-HUB Sandbox Network ; November 2026"  # noqa: S105 (a public name, not a secret)
CHANNEL_COUNT = 64


def _keypair(network_passphrase: str, label: str) -> Keypair:
    return Keypair.from_raw_ed25519_seed(sha256(f"{network_passphrase}/{label}".encode()).digest())


@cache
def friendbot_keypair(network_passphrase: str) -> Keypair:
    """Holds all lumens at genesis."""
    return _keypair(network_passphrase, "friendbot")


@cache
def usdc_issuer_keypair(network_passphrase: str) -> Keypair:
    return _keypair(network_passphrase, "usdc-issuer")


@cache
def channel_keypairs(network_passphrase: str) -> tuple[Keypair, ...]:
    """Transaction sources for friendbot and faucet: one account may have only one transaction per ledger."""
    return tuple(_keypair(network_passphrase, f"channel-{index}") for index in range(CHANNEL_COUNT))


@cache
def usdc_asset(network_passphrase: str) -> Asset:
    return Asset("USDC", usdc_issuer_keypair(network_passphrase).public_key)
