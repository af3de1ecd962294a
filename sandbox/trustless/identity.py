"""Who Trustless Work is on a given network: every id follows from the passphrase, so two sandboxes agree without talking."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

from stellar_sdk import Keypair, StrKey


@cache
def fee_account_keypair(network_passphrase: str) -> Keypair:
    """The account that receives Trustless Work's 0.3 %; genesis creates it with a USDC trustline."""
    return Keypair.from_raw_ed25519_seed(_derive(network_passphrase, "fee"))


@cache
def factory_contract_id(network_passphrase: str) -> str:
    return StrKey.encode_contract(_derive(network_passphrase, "factory"))


@cache
def escrow_wasm_hash(network_passphrase: str) -> bytes:
    return _derive(network_passphrase, "wasm")


@cache
def factory_wasm_hash(network_passphrase: str) -> bytes:
    return _derive(network_passphrase, "factory-wasm")


def api_key(network_passphrase: str) -> str:
    return f"sandbox.{_derive(network_passphrase, 'api-key').hex()}"


def identity(network_passphrase: str) -> dict[str, str]:
    """What a client has to be configured with; published by the sandbox's ``GET /control/state``."""
    return {
        "factory": factory_contract_id(network_passphrase),
        "wasmHash": escrow_wasm_hash(network_passphrase).hex(),
        "feeAddress": fee_account_keypair(network_passphrase).public_key,
        "apiKey": api_key(network_passphrase),
    }


def _derive(network_passphrase: str, label: str) -> bytes:
    return sha256(f"{network_passphrase}/trustless-work-{label}".encode()).digest()
