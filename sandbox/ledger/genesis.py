"""Ledger 1: the accounts a sandbox network is born with."""

from __future__ import annotations

from sandbox.identities import (
    channel_keypairs,
    friendbot_keypair,
    usdc_asset,
    usdc_issuer_keypair,
)
from sandbox.ledger.encoding import STROOPS_PER_UNIT
from sandbox.ledger.entries import MAX_INT64, Account, Trustline
from sandbox.ledger.state import Overlay
from sandbox.trustless import fee_account_keypair

TOTAL_LUMENS = 100_000_000_000
_STARTING_LUMENS = 10_000


def populate(view: Overlay, network_passphrase: str, closed_at: int) -> None:
    usdc = usdc_asset(network_passphrase)
    friendbot = friendbot_keypair(network_passphrase).public_key
    fee_account = fee_account_keypair(network_passphrase).public_key
    others = [usdc_issuer_keypair(network_passphrase).public_key, fee_account]
    others += [each.public_key for each in channel_keypairs(network_passphrase)]
    for address in others:
        view.put(_account(address, _STARTING_LUMENS, closed_at))
    view.put(_account(friendbot, TOTAL_LUMENS - _STARTING_LUMENS * len(others), closed_at))
    view.edit(fee_account).trustlines[f"{usdc.code}:{usdc.issuer}"] = Trustline(0, MAX_INT64, 1)


def _account(address: str, lumens: int, closed_at: int) -> Account:
    return Account(
        address=address,
        balance=lumens * STROOPS_PER_UNIT,
        sequence=1 << 32,
        sequence_ledger=0,
        sequence_time=0,
        last_modified_ledger=1,
        last_modified_time=closed_at,
    )
