"""Who gets what of an amount that leaves an escrow, in stroops, every share floored."""

from __future__ import annotations

from dataclasses import dataclass

TRUSTLESS_WORK_FEE_BPS = 30
BPS = 10_000
# The source also demands platform fee + Trustless Work's <= 100 %, which this bound implies.
MAX_PLATFORM_FEE_BPS = 9_900


@dataclass(frozen=True)
class FeeSplit:
    trustless_work_stroops: int
    platform_stroops: int
    payee_stroops: int


def split_fees(amount_stroops: int, platform_fee_bps: int) -> FeeSplit:
    """Fees come out of the amount; the payee gets what the two floors leave, so nothing is lost."""
    trustless_work = amount_stroops * TRUSTLESS_WORK_FEE_BPS // BPS
    platform = amount_stroops * platform_fee_bps // BPS
    return FeeSplit(trustless_work, platform, amount_stroops - trustless_work - platform)
