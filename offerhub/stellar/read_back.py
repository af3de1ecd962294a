"""Is the contract on the chain the one we deployed? Read from a Stellar RPC server, before any money goes into it.

The deployment's envelope was compared before it was signed; this compares what came of it: code, parties, amounts, fee, and that
nothing has happened to it yet. The reading is independent of Trustless Work.
"""

from __future__ import annotations

from stellar_sdk import xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import FundEscrow
from offerhub.stellar.difference import first_difference
from offerhub.stellar.escrow_struct import escrow_struct, spelling_of
from offerhub.stellar.expected import wasm_hash
from offerhub.stellar.network import StellarNetwork

_STORED_ESCROW = b"Escrow"


def check_contract(network: StellarNetwork, intent: FundEscrow, entry_xdr: str) -> None:
    """``entry_xdr`` is the ``LedgerEntryData`` of the contract's instance. Raises ``IntentMismatchError``, whatever the bytes are."""
    instance = _instance(entry_xdr)
    code = instance.executable.wasm_hash.hash.hex() if instance.executable.wasm_hash is not None else "no code of its own"
    wanted = wasm_hash(network, intent).hex()
    if code != wanted:
        raise IntentMismatchError("contract.wasm_hash", wanted, code)
    stored = _stored_escrow(instance)
    expected = escrow_struct(network, intent.terms, spelling_of(stored))
    if stored.to_xdr_bytes() != expected.to_xdr_bytes():
        raise first_difference("contract.escrow", expected, stored)


def _instance(entry_xdr: str) -> xdr.SCContractInstance:
    try:
        data = xdr.LedgerEntryData.from_xdr(entry_xdr).contract_data
    except Exception as error:  # noqa: BLE001 - the parser meets foreign bytes; whatever it trips over is a refusal
        raise IntentMismatchError("contract", "a ledger entry", f"{type(error).__name__}: {error}"[:200]) from None
    if data is None or data.val.instance is None:
        raise IntentMismatchError("contract", "a contract instance", "another kind of entry")
    return data.val.instance


def _stored_escrow(instance: xdr.SCContractInstance) -> xdr.SCVal:
    """V1 builds keep it in instance storage under the key ``["Escrow"]`` (``reference/trustless-work.md`` §9.3)."""
    for entry in instance.storage.sc_map if instance.storage is not None else []:
        path = entry.key.vec.sc_vec if entry.key.vec is not None else []
        if len(path) == 1 and path[0].sym is not None and path[0].sym.sc_symbol == _STORED_ESCROW:
            return entry.val
    raise IntentMismatchError("contract.escrow", "an initialised escrow", "nothing stored")
