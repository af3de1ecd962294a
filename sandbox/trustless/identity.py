"""Who Trustless Work is on a given network."""

from __future__ import annotations

from functools import cache

from stellar_sdk import Keypair

from sandbox.contracts.addresses import derive, escrow_wasm_hash, factory_contract_id, multi_release_wasm_hash


@cache
def fee_account_keypair(network_passphrase: str) -> Keypair:
    """The account that receives Trustless Work's 0.3 %; genesis creates it with a USDC trustline."""
    return Keypair.from_raw_ed25519_seed(derive(network_passphrase, "fee"))


@cache
def api_key(network_passphrase: str) -> str:
    return f"sandbox.{derive(network_passphrase, 'api-key').hex()}"


def identity(network_passphrase: str) -> dict[str, str]:
    """What a client has to be configured with; published by the sandbox's ``GET /control/state``."""
    return {
        "factory": factory_contract_id(network_passphrase),
        "wasmHash": escrow_wasm_hash(network_passphrase).hex(),
        "multiReleaseWasmHash": multi_release_wasm_hash(network_passphrase).hex(),
        "feeAddress": fee_account_keypair(network_passphrase).public_key,
        "apiKey": api_key(network_passphrase),
    }
