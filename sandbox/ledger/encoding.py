"""Between XDR values and the texts of Horizon: addresses, assets, amounts."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from stellar_sdk import Asset, MuxedAccount, StrKey, xdr

from sandbox.ledger.entries import MAX_INT64, NATIVE

STROOPS_PER_UNIT = 10_000_000
_AMOUNT = re.compile(r"[0-9]{1,12}(\.[0-9]{1,7})?")


@lru_cache(maxsize=65_536)
def address_of(public_key: bytes) -> str:
    return StrKey.encode_ed25519_public_key(public_key)


@lru_cache(maxsize=65_536)
def public_key_of(address: str) -> bytes:
    return StrKey.decode_ed25519_public_key(address)


@lru_cache(maxsize=65_536)
def contract_address_of(contract_id: bytes) -> str:
    return StrKey.encode_contract(contract_id)


def account_id(value: xdr.AccountID) -> str:
    key = value.account_id.ed25519
    assert key is not None
    return address_of(key.uint256)


def muxed_account(value: xdr.MuxedAccount) -> tuple[str, int | None]:
    """The G address and, for a muxed account, its id."""
    if value.type == xdr.CryptoKeyType.KEY_TYPE_ED25519 and value.ed25519 is not None:
        return address_of(value.ed25519.uint256), None
    if value.med25519 is None:
        raise ValueError("unsupported account key")
    return address_of(value.med25519.ed25519.uint256), value.med25519.id.uint64


def muxed_fields(name: str, muxed_name: str, address: str, muxed_id: int | None) -> dict[str, str]:
    """Horizon's field for an account, with the two more that a muxed one gets."""
    if muxed_id is None:
        return {name: address}
    muxed = MuxedAccount(address, muxed_id).account_muxed
    return {name: address, f"{muxed_name}_muxed": muxed or "", f"{muxed_name}_muxed_id": str(muxed_id)}


def asset_key(value: xdr.Asset | xdr.ChangeTrustAsset) -> str:
    """``native`` or ``CODE:ISSUER``; raises ValueError for a liquidity pool share or an empty code."""
    if value.type == xdr.AssetType.ASSET_TYPE_NATIVE:
        return NATIVE
    if value.alpha_num4 is not None:
        code, issuer = value.alpha_num4.asset_code.asset_code4, value.alpha_num4.issuer
    elif value.alpha_num12 is not None:
        code, issuer = value.alpha_num12.asset_code.asset_code12, value.alpha_num12.issuer
    else:
        raise ValueError("unsupported asset type")
    text = code.rstrip(b"\0").decode("ascii")
    if not text.isalnum():
        raise ValueError("invalid asset code")
    return f"{text}:{account_id(issuer)}"


def issuer_of(asset: str) -> str | None:
    return None if asset == NATIVE else asset.partition(":")[2]


def asset_fields(asset: str, prefix: str = "asset_") -> dict[str, str]:
    """Horizon's ``asset_type``, ``asset_code`` and ``asset_issuer``."""
    if asset == NATIVE:
        return {f"{prefix}type": NATIVE}
    code, _, issuer = asset.partition(":")
    kind = "credit_alphanum4" if len(code) <= 4 else "credit_alphanum12"
    return {f"{prefix}type": kind, f"{prefix}code": code, f"{prefix}issuer": issuer}


@lru_cache(maxsize=4096)
def asset_contract_id(asset: str, network_passphrase: str) -> str:
    if asset == NATIVE:
        return Asset.native().contract_id(network_passphrase)
    code, _, issuer = asset.partition(":")
    return Asset(code, issuer).contract_id(network_passphrase)


def amount_text(amount_stroops: int) -> str:
    sign = "-" if amount_stroops < 0 else ""
    whole, fraction = divmod(abs(amount_stroops), STROOPS_PER_UNIT)
    return f"{sign}{whole}.{fraction:07d}"


def parse_amount(text: str) -> int:
    """Stroops of a positive decimal string; raises ValueError."""
    if _AMOUNT.fullmatch(text) is None:
        raise ValueError("amount must be a decimal string with at most 7 decimals")
    whole, _, fraction = text.partition(".")
    stroops = int(whole) * STROOPS_PER_UNIT + int(fraction.ljust(7, "0"))
    if not 0 < stroops <= MAX_INT64:
        raise ValueError("amount must be positive and fit 64 bits")
    return stroops


def time_text(unix_time: int) -> str:
    return datetime.fromtimestamp(unix_time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def drop_none(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def sc_address(value: xdr.SCAddress) -> str:
    if value.type == xdr.SCAddressType.SC_ADDRESS_TYPE_ACCOUNT and value.account_id is not None:
        return account_id(value.account_id)
    if value.type == xdr.SCAddressType.SC_ADDRESS_TYPE_CONTRACT and value.contract_id is not None:
        return contract_address_of(value.contract_id.contract_id.hash)
    raise ValueError("unsupported address type")
