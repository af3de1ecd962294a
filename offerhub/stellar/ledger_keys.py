"""Keys of the ledger entries that an escrow call touches, packed: contracts, their code, balances and trustlines in USDC."""

from __future__ import annotations

from stellar_sdk import Address, StrKey, scval, xdr

from offerhub.stellar.network import StellarNetwork


def instance_key(contract_id: str) -> bytes:
    """Of a contract's instance: its code by hash and its instance storage."""
    return _contract_data_key(contract_id, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE))


def balance_key(network: StellarNetwork, contract_id: str) -> bytes:
    """Of what a contract holds: the USDC contract's persistent entry ``["Balance", holder]``."""
    return _contract_data_key(network.usdc_contract, scval.to_vec([scval.to_symbol("Balance"), scval.to_address(contract_id)]))


def code_key(wasm_hash: bytes) -> bytes:
    code = xdr.LedgerKeyContractCode(xdr.Hash(wasm_hash))
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_CODE, contract_code=code).to_xdr_bytes()


def trustline_key(network: StellarNetwork, address: str) -> bytes:
    account = xdr.AccountID(
        xdr.PublicKey(xdr.PublicKeyType.PUBLIC_KEY_TYPE_ED25519, ed25519=xdr.Uint256(StrKey.decode_ed25519_public_key(address)))
    )
    key = xdr.LedgerKeyTrustLine(account_id=account, asset=network.usdc.to_trust_line_asset_xdr_object())
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=key).to_xdr_bytes()


def _contract_data_key(contract_id: str, key: xdr.SCVal) -> bytes:
    data = xdr.LedgerKeyContractData(Address(contract_id).to_xdr_sc_address(), key, xdr.ContractDataDurability.PERSISTENT)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data).to_xdr_bytes()
