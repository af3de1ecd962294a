"""What a release takes out of an escrow: the contract's own arithmetic, in stroops (``reference/trustless-work.md`` §7)."""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL_FEE_BPS = 30
BPS = 10_000
# The contract refuses platform_fee + protocol fee above 100 % and platform_fee above 99 %.
MAX_PLATFORM_FEE_BPS = 9_900


@dataclass(frozen=True)
class ReleaseSplit:
    """Where the gross amount of a release goes; the three parts sum to ``amount_stroops``."""

    amount_stroops: int
    protocol_fee_stroops: int
    platform_fee_stroops: int
    receiver_stroops: int


def split_release(amount_stroops: int, platform_fee_bps: int) -> ReleaseSplit:
    """Both fees are floored; the receiver gets the rest, so nothing is lost to rounding."""
    protocol = amount_stroops * PROTOCOL_FEE_BPS // BPS
    platform = amount_stroops * platform_fee_bps // BPS
    return ReleaseSplit(amount_stroops, protocol, platform, amount_stroops - protocol - platform)
