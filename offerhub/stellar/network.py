"""Which network we are on and the identities on it that money depends on: configuration, never an answer of an API."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

from stellar_sdk import Asset

from offerhub.settings import Settings

USDC_CODE = "USDC"


@dataclass(frozen=True)
class StellarNetwork:
    """The hashes are hex: of the single-release escrow's code, and of the multi-release one's, which may be unknown (empty).

    ``protocol_fee_address`` is the account to which a release pays Trustless Work's share.
    """

    passphrase: str
    usdc_issuer: str
    factory_contract: str
    escrow_wasm_hash: str
    protocol_fee_address: str
    friendbot_url: str | None = None
    multi_release_wasm_hash: str = ""

    @cached_property
    def id(self) -> bytes:
        return sha256(self.passphrase.encode()).digest()

    @cached_property
    def usdc(self) -> Asset:
        return Asset(USDC_CODE, self.usdc_issuer)

    @cached_property
    def usdc_contract(self) -> str:
        """The id of the asset's own contract, computed from the asset: nobody else is asked for it."""
        return self.usdc.contract_id(self.passphrase)


def network_of(settings: Settings) -> StellarNetwork:
    return StellarNetwork(
        passphrase=settings.network_passphrase,
        usdc_issuer=settings.usdc_issuer,
        factory_contract=settings.trustless_work_factory,
        escrow_wasm_hash=settings.trustless_work_wasm_hash,
        protocol_fee_address=settings.trustless_work_fee_address,
        friendbot_url=settings.friendbot_url or None,
        multi_release_wasm_hash=settings.trustless_work_multi_wasm_hash,
    )
