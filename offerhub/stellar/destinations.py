"""What the network shows of an address that somebody wants to be paid at; the judgement is ``offerhub.domain.withdrawals``'."""

from __future__ import annotations

from stellar_sdk import StrKey

from offerhub.domain.withdrawals import AddressKind, Destination
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork


async def look_at_destination(horizon: Horizon, network: StellarNetwork, address: str) -> Destination:
    """Asks Horizon only about plain accounts. Raises ``HorizonUnavailable``."""
    kind = _kind(address)
    if kind is not AddressKind.ACCOUNT or address == network.usdc_issuer:
        return Destination(address, kind, is_issuer=address == network.usdc_issuer)
    account = await horizon.account(address)
    if account is None:
        return Destination(address, kind)
    return Destination(
        address,
        kind,
        exists=True,
        is_authorized=account.usdc_authorized,
        room_stroops=account.usdc_room_stroops,
        memo_required=account.memo_required,
    )


def _kind(address: str) -> AddressKind:
    if StrKey.is_valid_ed25519_public_key(address):
        return AddressKind.ACCOUNT
    if StrKey.is_valid_med25519_public_key(address):
        return AddressKind.MUXED
    return AddressKind.CONTRACT if StrKey.is_valid_contract(address) else AddressKind.UNREADABLE
