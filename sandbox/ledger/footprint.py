"""The ledger keys a contract call declared: what it may read, and what it may change."""

from __future__ import annotations

from stellar_sdk import Keypair, scval, xdr

from sandbox.ledger.encoding import asset_contract_id, public_key_of
from sandbox.ledger.entries import NATIVE


class OutsideFootprint(Exception):
    """The host traps an access to an entry that the transaction did not declare."""


class Footprint:
    """Keys are compared by their XDR bytes."""

    def __init__(self, declared: xdr.LedgerFootprint) -> None:
        self._writable = {key.to_xdr_bytes() for key in declared.read_write}
        self._readable = self._writable | {key.to_xdr_bytes() for key in declared.read_only}

    def require_readable(self, key: xdr.LedgerKey) -> None:
        if key.to_xdr_bytes() not in self._readable:
            raise OutsideFootprint(key.type.name)

    def require_writable(self, key: xdr.LedgerKey) -> None:
        if key.to_xdr_bytes() not in self._writable:
            raise OutsideFootprint(key.type.name)


def instance_key(contract_id: str) -> xdr.LedgerKey:
    return _contract_data(contract_id, xdr.SCVal(xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE))


def holding_key(asset: str, holder: str, network_passphrase: str) -> xdr.LedgerKey:
    """Where the balance of a holder lives: contract data, trustline, or the account itself for lumens."""
    if holder.startswith("C"):
        key = scval.to_vec([scval.to_symbol("Balance"), scval.to_address(holder)])
        return _contract_data(asset_contract_id(asset, network_passphrase), key)
    account = Keypair.from_raw_ed25519_public_key(public_key_of(holder)).xdr_account_id()
    if asset == NATIVE:
        return xdr.LedgerKey(xdr.LedgerEntryType.ACCOUNT, account=xdr.LedgerKeyAccount(account))
    line = xdr.LedgerKeyTrustLine(account, _trustline_asset(asset))
    return xdr.LedgerKey(xdr.LedgerEntryType.TRUSTLINE, trust_line=line)


def _trustline_asset(asset: str) -> xdr.TrustLineAsset:
    code, _, issuer = asset.partition(":")
    account = Keypair.from_raw_ed25519_public_key(public_key_of(issuer)).xdr_account_id()
    if len(code) <= 4:
        short = xdr.AlphaNum4(xdr.AssetCode4(code.encode().ljust(4, b"\0")), account)
        return xdr.TrustLineAsset(xdr.AssetType.ASSET_TYPE_CREDIT_ALPHANUM4, alpha_num4=short)
    long = xdr.AlphaNum12(xdr.AssetCode12(code.encode().ljust(12, b"\0")), account)
    return xdr.TrustLineAsset(xdr.AssetType.ASSET_TYPE_CREDIT_ALPHANUM12, alpha_num12=long)


def _contract_data(contract_id: str, key: xdr.SCVal) -> xdr.LedgerKey:
    address = scval.to_address(contract_id).address
    assert address is not None
    data = xdr.LedgerKeyContractData(address, key, xdr.ContractDataDurability.PERSISTENT)
    return xdr.LedgerKey(xdr.LedgerEntryType.CONTRACT_DATA, contract_data=data)
