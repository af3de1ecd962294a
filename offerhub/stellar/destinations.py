"""What the network shows of an address that somebody wants to be paid at; the judgement is ``offerhub.domain.withdrawals``'."""

from __future__ import annotations

import httpx
from stellar_sdk import StrKey

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.withdrawals import AddressKind, Destination
from offerhub.settings import Settings
from offerhub.stellar.horizon import Horizon, HorizonUnavailable
from offerhub.stellar.network import network_of


class Destinations:
    """Reads Horizon over connections of its own, which ``close`` ends."""

    def __init__(self, settings: Settings) -> None:
        network = network_of(settings)
        self._issuer = network.usdc_issuer
        self._client = httpx.AsyncClient()
        self._horizon = Horizon(settings.horizon_url, network, self._client)

    async def look_at(self, address: str) -> Destination:
        """Horizon is asked only about plain accounts. Raises ``PROVIDER_UNAVAILABLE`` when it does not answer."""
        kind = _kind(address)
        if kind is not AddressKind.ACCOUNT or address == self._issuer:
            return Destination(address, kind, is_issuer=address == self._issuer)
        try:
            account = await self._horizon.account(address)
        except HorizonUnavailable as error:
            message = f"The network could not be asked about the destination; nothing is held. {error.message}"
            raise DomainError(ErrorCode.PROVIDER_UNAVAILABLE, message) from error
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

    async def close(self) -> None:
        await self._client.aclose()


def _kind(address: str) -> AddressKind:
    if StrKey.is_valid_ed25519_public_key(address):
        return AddressKind.ACCOUNT
    if StrKey.is_valid_med25519_public_key(address):
        return AddressKind.MUXED
    return AddressKind.CONTRACT if StrKey.is_valid_contract(address) else AddressKind.UNREADABLE
