"""Ledger keys of what a call touches: contracts, code and token balances."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellar_sdk import Keypair, scval, xdr

from sandbox.contracts.values import address_value, sc_address, vec_value

if TYPE_CHECKING:
    from stellar_sdk import Asset


@dataclass(frozen=True)
class Token:
    """An asset with its contract's id on this network."""

    asset: Asset
    contract_id: str


def instance_key(contract_id: str) -> xdr.LedgerKey:
    return _contract_data(contract_id, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE))


def code_key(wasm_hash: bytes) -> xdr.LedgerKey:
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=xdr.LedgerKeyContractCode(xdr.Hash(wasm_hash)))


def balance_keys(token: Token, holders: list[str]) -> list[xdr.LedgerKey]:
    """One key per distinct holder; an issuer holds its own asset without an entry."""
    distinct = [holder for holder in dict.fromkeys(holders) if holder != token.asset.issuer]
    return [_balance_key(token, holder) for holder in distinct]


def _balance_key(token: Token, holder: str) -> xdr.LedgerKey:
    if holder.startswith("C"):
        return _contract_data(token.contract_id, vec_value([scval.to_symbol("Balance"), address_value(holder)]))
    line = xdr.LedgerKeyTrustLine(Keypair.from_public_key(holder).xdr_account_id(), token.asset.to_trust_line_asset_xdr_object())
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)


def _contract_data(contract_id: str, key: xdr.SCVal) -> xdr.LedgerKey:
    data = xdr.LedgerKeyContractData(sc_address(contract_id), key, xdr.ContractDataDurability.PERSISTENT)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data)
