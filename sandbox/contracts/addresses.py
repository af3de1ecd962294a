"""Ids of what exists on every sandbox network from the start; they follow from the passphrase alone."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from stellar_sdk import StrKey


def derive(network_passphrase: str, label: str) -> bytes:
    """32 bytes that two sandboxes of one passphrase agree on without talking."""
    return sha256(f"{network_passphrase}/trustless-work-{label}".encode()).digest()


@cache
def factory_contract_id(network_passphrase: str) -> str:
    return StrKey.encode_contract(derive(network_passphrase, "factory"))


@cache
def factory_wasm_hash(network_passphrase: str) -> bytes:
    return derive(network_passphrase, "factory-wasm")


@cache
def escrow_wasm_hash(network_passphrase: str) -> bytes:
    """Of the single-release escrow."""
    return derive(network_passphrase, "wasm")


@cache
def multi_release_wasm_hash(network_passphrase: str) -> bytes:
    return derive(network_passphrase, "multi-release-wasm")
