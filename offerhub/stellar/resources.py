"""Bounds for what an escrow envelope declares besides its call: footprint, resources and fee.

Nothing here can move money, as the ledger applies a call within its footprint only; the bounds keep an envelope from burning fees, and
its written entries to those of the escrow. A restoration of archived entries costs rent, so it may only touch what is written anyway.
"""

from __future__ import annotations

from stellar_sdk import xdr

from offerhub.domain.errors import IntentMismatchError
from offerhub.stellar.difference import shown
from offerhub.stellar.expected import ExpectedCall
from offerhub.stellar.network import StellarNetwork

# What the network itself allows one transaction (``reference/stellar.md`` §4); an escrow call needs a small part of it.
MAX_INSTRUCTIONS = 400_000_000
MAX_DISK_READ_BYTES = 200_000
MAX_WRITE_BYTES = 132_096
# Instances and code of factory, escrow and token, and the accounts and trustlines of the parties come to no more than this.
MAX_READ_ONLY_KEYS = 16
_RESTORABLE = frozenset({xdr.LedgerEntryType.CONTRACT_DATA, xdr.LedgerEntryType.CONTRACT_CODE})


def check_resources(network: StellarNetwork, transaction: xdr.Transaction, call: ExpectedCall, max_fee_stroops: int) -> None:
    """Raise ``IntentMismatchError`` at the first thing that is out of bounds."""
    data = transaction.ext.soroban_data
    if data is None:
        raise IntentMismatchError("soroban_data", "footprint and resource fee", None)
    fee = transaction.fee.uint32
    require_range("fee", fee, 1, max_fee_stroops)
    require_range("resource_fee", data.resource_fee.int64, 0, fee - 1)
    require_range("instructions", data.resources.instructions.uint32, 0, MAX_INSTRUCTIONS)
    require_range("disk_read_bytes", data.resources.disk_read_bytes.uint32, 0, MAX_DISK_READ_BYTES)
    require_range("write_bytes", data.resources.write_bytes.uint32, 0, MAX_WRITE_BYTES)
    _check_written(network, data.resources.footprint.read_write, call)
    _check_read(network, data.resources.footprint.read_only, call)
    _check_restored(data.ext, data.resources.footprint.read_write)


def require_range(field: str, found: int, lowest: int, highest: int) -> None:
    if not lowest <= found <= highest:
        raise IntentMismatchError(field, f"{lowest} to {highest}", found)


def _check_written(network: StellarNetwork, keys: list[xdr.LedgerKey], call: ExpectedCall) -> None:
    packed = [key.to_xdr_bytes() for key in keys]
    if len(set(packed)) != len(packed):
        raise IntentMismatchError("footprint.read_write", "each entry once", "an entry twice")
    others = [key for key, text in zip(keys, packed, strict=True) if text not in call.may_write]
    for key in others:
        if call.other_trustlines == 0 or not _is_usdc_trustline(network, key):
            raise IntentMismatchError("footprint.read_write", "entries of the escrow", shown(key))
    require_range("footprint.trustlines", len(others), 0, call.other_trustlines)


def _check_read(network: StellarNetwork, keys: list[xdr.LedgerKey], call: ExpectedCall) -> None:
    require_range("footprint.read_only", len(keys), 0, MAX_READ_ONLY_KEYS)
    for key in keys:
        is_code_or_account = key.contract_code is not None or key.account is not None
        if not (is_code_or_account or key.to_xdr_bytes() in call.may_read or _is_usdc_trustline(network, key)):
            raise IntentMismatchError("footprint.read_only", "what the call looks at", shown(key))


def _check_restored(extension: xdr.SorobanTransactionDataExt, written: list[xdr.LedgerKey]) -> None:
    """The network restores the written entries at these places, given in rising order, before the call."""
    if extension.v == 0:
        return
    if extension.resource_ext is None:
        raise IntentMismatchError("soroban_data.ext", "0 or 1", extension.v)
    places = [place.uint32 for place in extension.resource_ext.archived_soroban_entries]
    if not places or places != sorted(set(places)):
        raise IntentMismatchError("archived_entries", "places in rising order", places)
    for place in places:
        require_range("archived_entries", place, 0, len(written) - 1)
        if written[place].type not in _RESTORABLE:
            raise IntentMismatchError("archived_entries", "entries of contracts", shown(written[place]))


def _is_usdc_trustline(network: StellarNetwork, key: xdr.LedgerKey) -> bool:
    usdc = network.usdc.to_trust_line_asset_xdr_object()
    return key.trust_line is not None and key.trust_line.asset.to_xdr_bytes() == usdc.to_xdr_bytes()
