"""What every payout takes out of an escrow: the contract's own arithmetic, in stroops (``reference/trustless-work.md`` §7)."""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL_FEE_BPS = 30
BPS = 10_000
# A contract that rounds otherwise may keep this much: one stroop for each of two fees of two recipients.
MOST_DUST_STROOPS = 4
# The contract refuses platform_fee + protocol fee above 100 % and platform_fee above 99 %.
MAX_PLATFORM_FEE_BPS = 9_900


@dataclass(frozen=True)
class Payout:
    """What leaves an escrow, and to whom: gross = seller + buyer + both fees, to the stroop."""

    gross_stroops: int
    seller_stroops: int
    buyer_stroops: int
    platform_fee_stroops: int
    protocol_fee_stroops: int

    @property
    def fees_stroops(self) -> int:
        return self.platform_fee_stroops + self.protocol_fee_stroops

    def differs_only_in_fees(self, seller_gross_stroops: int, buyer_gross_stroops: int) -> bool:
        """Whoever had a share was paid, nobody more than it, by a contract that took some fees and kept no more than dust."""
        shares = ((self.seller_stroops, seller_gross_stroops), (self.buyer_stroops, buyer_gross_stroops))
        kept_stroops = seller_gross_stroops + buyer_gross_stroops - self.gross_stroops
        return all(paid <= share and bool(paid) == bool(share) for paid, share in shares) and 0 <= kept_stroops <= MOST_DUST_STROOPS


def pay_out(seller_gross_stroops: int, buyer_gross_stroops: int, platform_fee_bps: int) -> Payout:
    """Fees are floored per recipient: what a release takes from the seller's share, a refund or a split takes from each share."""
    seller, buyer = split_release(seller_gross_stroops, platform_fee_bps), split_release(buyer_gross_stroops, platform_fee_bps)
    return Payout(
        gross_stroops=seller_gross_stroops + buyer_gross_stroops,
        seller_stroops=seller.receiver_stroops,
        buyer_stroops=buyer.receiver_stroops,
        platform_fee_stroops=seller.platform_fee_stroops + buyer.platform_fee_stroops,
        protocol_fee_stroops=seller.protocol_fee_stroops + buyer.protocol_fee_stroops,
    )


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
