"""Ledger entries in the XDR of the network, by their keys.

Nothing expires here, so that no entry tells how long it lives. Code of contracts is not kept: its keys find nothing.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

from stellar_sdk import Keypair, scval, xdr

from sandbox.contracts.addresses import factory_contract_id, factory_wasm_hash
from sandbox.contracts.interface import ContractInstance
from sandbox.contracts.values import address_value, as_address, struct_value, vec_value
from sandbox.ledger.encoding import account_id, asset_key, contract_address_of, public_key_of
from sandbox.ledger.entries import NATIVE, Account, Signer
from sandbox.ledger.footprint import holding_key
from sandbox.ledger.ledger import Ledger

_TYPE = xdr.LedgerEntryType
_GENESIS = 1


@dataclass(frozen=True)
class Entry:
    data: xdr.LedgerEntryData
    last_modified_ledger: int


def find_entry(ledger: Ledger, key: xdr.LedgerKey) -> Entry | None:
    if key.account is not None:
        return _account(ledger, account_id(key.account.account_id))
    if key.trust_line is not None:
        return _trustline(ledger, key.trust_line)
    if key.data is not None:
        return _data(ledger, key.data)
    if key.contract_data is not None:
        return _contract_data(ledger, key.contract_data)
    return None


def _account(ledger: Ledger, address: str) -> Entry | None:
    account = ledger.account(address)
    if account is None:
        return None
    entry = xdr.AccountEntry(
        account_id=_account_id(address),
        balance=xdr.Int64(account.balance),
        seq_num=xdr.SequenceNumber(xdr.Int64(account.sequence)),
        num_sub_entries=xdr.Uint32(account.subentry_count),
        inflation_dest=None,
        flags=xdr.Uint32(account.flags),
        home_domain=xdr.String32(account.home_domain.encode()),
        thresholds=xdr.Thresholds(bytes([account.master_weight, *account.thresholds])),
        signers=[xdr.Signer(_signer_key(key), xdr.Uint32(signer.weight)) for key, signer in _signers(account)],
        ext=_account_extension(account),
    )
    return Entry(xdr.LedgerEntryData(_TYPE.ACCOUNT, account=entry), account.last_modified_ledger)


def _signers(account: Account) -> list[tuple[str, Signer]]:
    return sorted(account.signers.items(), key=lambda item: public_key_of(item[0]))


def _account_extension(account: Account) -> xdr.AccountEntryExt:
    sponsors = [xdr.SponsorshipDescriptor(_account_id(each.sponsor) if each.sponsor else None) for _, each in _signers(account)]
    changed = xdr.TimePoint(xdr.Uint64(account.sequence_time))
    v3 = xdr.AccountEntryExtensionV3(xdr.ExtensionPoint(0), xdr.Uint32(account.sequence_ledger), changed)
    v2 = xdr.AccountEntryExtensionV2(
        xdr.Uint32(account.num_sponsored), xdr.Uint32(account.num_sponsoring), sponsors, xdr.AccountEntryExtensionV2Ext(3, v3=v3)
    )
    nothing = xdr.Liabilities(xdr.Int64(0), xdr.Int64(0))
    return xdr.AccountEntryExt(1, v1=xdr.AccountEntryExtensionV1(nothing, xdr.AccountEntryExtensionV1Ext(2, v2=v2)))


def _trustline(ledger: Ledger, key: xdr.LedgerKeyTrustLine) -> Entry | None:
    address = account_id(key.account_id)
    account = ledger.account(address)
    asset = _asset_of(key.asset)
    line = account.trustlines.get(asset) if account is not None and asset is not None else None
    if line is None or asset is None:
        return None
    flags = 0 if ledger.state.disturbance.is_frozen(address, asset) else line.flags
    entry = xdr.TrustLineEntry(
        key.account_id, key.asset, xdr.Int64(line.balance), xdr.Int64(line.limit), xdr.Uint32(flags), xdr.TrustLineEntryExt(0)
    )
    return Entry(xdr.LedgerEntryData(_TYPE.TRUSTLINE, trust_line=entry), line.last_modified_ledger)


def _asset_of(asset: xdr.TrustLineAsset) -> str | None:
    try:
        return asset_key(xdr.Asset(asset.type, alpha_num4=asset.alpha_num4, alpha_num12=asset.alpha_num12))
    except ValueError:
        return None


def _data(ledger: Ledger, key: xdr.LedgerKeyData) -> Entry | None:
    account = ledger.account(account_id(key.account_id))
    found = account.data.get(key.data_name.string64.decode("utf-8", "replace")) if account is not None else None
    if account is None or found is None:
        return None
    value = xdr.DataValue(base64.b64decode(found.value))
    entry = xdr.DataEntry(key.account_id, key.data_name, value, xdr.DataEntryExt(0))
    return Entry(xdr.LedgerEntryData(_TYPE.DATA, data=entry), account.last_modified_ledger)


def _contract_data(ledger: Ledger, key: xdr.LedgerKeyContractData) -> Entry | None:
    contract = key.contract.contract_id
    if contract is None or key.durability != xdr.ContractDataDurability.PERSISTENT:
        return None
    contract_id = contract_address_of(contract.contract_id.hash)
    if key.key.type == xdr.SCValType.SCV_LEDGER_KEY_CONTRACT_INSTANCE:
        found = _instance(ledger, contract_id)
    else:
        found = _balance(ledger, contract_id, key)
    if found is None:
        return None
    value, modified = found
    entry = xdr.ContractDataEntry(xdr.ExtensionPoint(0), key.contract, key.key, key.durability, value)
    return Entry(xdr.LedgerEntryData(_TYPE.CONTRACT_DATA, contract_data=entry), modified)


def _instance(ledger: Ledger, contract_id: str) -> tuple[xdr.SCVal, int] | None:
    asset = ledger.state.asset_of_contract(contract_id)
    if asset is not None:
        return _asset_instance(asset), _GENESIS
    if contract_id == factory_contract_id(ledger.network_passphrase):
        return _wasm_instance(ContractInstance(contract_id, factory_wasm_hash(ledger.network_passphrase))), _GENESIS
    instance = ledger.contract_instance(contract_id)
    if instance is None:
        return None
    return _wasm_instance(instance), ledger.store.modified_in(f"instance/{contract_id}")


def _wasm_instance(instance: ContractInstance) -> xdr.SCVal:
    """Storage keys are ``Vec[Symbol]``, as contracts written in Rust name theirs by an enum."""
    code = xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_WASM, wasm_hash=xdr.Hash(instance.wasm_hash))
    entries = [xdr.SCMapEntry(vec_value([scval.to_symbol(name)]), instance.storage[name]) for name in sorted(instance.storage)]
    return _instance_value(code, entries)


def _asset_instance(asset: str) -> xdr.SCVal:
    code, _, issuer = asset.partition(":")
    names = {"decimal": scval.to_uint32(7), "name": scval.to_string(asset), "symbol": scval.to_string(code)}
    entries = [xdr.SCMapEntry(scval.to_symbol("METADATA"), struct_value(names))]
    if asset == NATIVE:
        info = vec_value([scval.to_symbol("Native")])
    else:
        entries.append(xdr.SCMapEntry(vec_value([scval.to_symbol("Admin")]), address_value(issuer)))
        parts = {"asset_code": scval.to_string(code), "issuer": scval.to_bytes(public_key_of(issuer))}
        info = vec_value([scval.to_symbol("AlphaNum4" if len(code) <= 4 else "AlphaNum12"), struct_value(parts)])
    entries.append(xdr.SCMapEntry(vec_value([scval.to_symbol("AssetInfo")]), info))
    return _instance_value(xdr.ContractExecutable(xdr.ContractExecutableType.CONTRACT_EXECUTABLE_STELLAR_ASSET), entries)


def _instance_value(executable: xdr.ContractExecutable, entries: list[xdr.SCMapEntry]) -> xdr.SCVal:
    storage = xdr.SCMap(entries) if entries else None
    return xdr.SCVal(xdr.SCValType.SCV_CONTRACT_INSTANCE, instance=xdr.SCContractInstance(executable, storage))


def _balance(ledger: Ledger, token: str, key: xdr.LedgerKeyContractData) -> tuple[xdr.SCVal, int] | None:
    """A contract's balance of an asset; accounts have trustlines instead."""
    asset = ledger.state.asset_of_contract(token)
    parts = key.key.vec.sc_vec if key.key.vec is not None else []
    if asset is None or len(parts) != 2 or parts[1].address is None or parts[1].address.contract_id is None:
        return None
    holder = as_address(parts[1])
    wanted = holding_key(asset, holder, ledger.network_passphrase).contract_data
    held = ledger.state.contract_balances()
    if wanted is None or wanted.key != key.key or (token, holder) not in held:
        return None
    amount = scval.to_int128(held[token, holder])
    value = struct_value({"amount": amount, "authorized": scval.to_bool(True), "clawback": scval.to_bool(False)})
    return value, ledger.store.modified_in(f"balance/{token}/{holder}")


def _account_id(address: str) -> xdr.AccountID:
    return Keypair.from_public_key(address).xdr_account_id()


def _signer_key(address: str) -> xdr.SignerKey:
    return xdr.SignerKey(xdr.SignerKeyType.SIGNER_KEY_TYPE_ED25519, ed25519=xdr.Uint256(public_key_of(address)))
