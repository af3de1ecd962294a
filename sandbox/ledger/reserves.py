"""Who pays for the reserve of an entry: its owner, or the sponsor of the moment."""

from __future__ import annotations

from enum import IntEnum

from stellar_sdk import xdr

from sandbox.ledger.entries import Account
from sandbox.ledger.results import OperationRefused
from sandbox.ledger.state import Overlay

MAX_SUBENTRIES = 1_000


class Sponsorships:
    """The begin/end sponsoring brackets that are open in the current transaction: sponsored to sponsor."""

    def __init__(self) -> None:
        self._sponsor_of: dict[str, str] = {}

    @property
    def any_open(self) -> bool:
        return bool(self._sponsor_of)

    def sponsor_of(self, address: str) -> str | None:
        return self._sponsor_of.get(address)

    def is_sponsoring(self, address: str) -> bool:
        return address in self._sponsor_of.values()

    def begin(self, sponsor: str, sponsored: str) -> None:
        self._sponsor_of[sponsored] = sponsor

    def end(self, sponsored: str) -> str | None:
        """The sponsor whose bracket was closed."""
        return self._sponsor_of.pop(sponsored, None)


def add_reserve(view: Overlay, sponsorships: Sponsorships, owner: Account, reserves: int, low_reserve: IntEnum) -> str | None:
    """Account for an entry just added to ``owner`` and answer its sponsor; raises OperationRefused."""
    if owner.subentry_count > MAX_SUBENTRIES:
        raise OperationRefused(xdr.OperationResultCode.opTOO_MANY_SUBENTRIES)
    sponsor_address = sponsorships.sponsor_of(owner.address)
    if sponsor_address is None:
        if owner.spendable < 0:
            raise OperationRefused(low_reserve)
        return None
    owner.num_sponsored += reserves
    sponsor = view.edit(sponsor_address)
    sponsor.num_sponsoring += reserves
    if sponsor.spendable < 0:
        raise OperationRefused(low_reserve)
    return sponsor_address


def release_reserve(view: Overlay, owner: Account, sponsor_address: str | None, reserves: int = 1) -> None:
    """Give the reserve of a removed entry back to whoever carried it."""
    if sponsor_address is None:
        return
    owner.num_sponsored -= reserves
    view.edit(sponsor_address).num_sponsoring -= reserves
