"""What we mean to do on the chain, derived from our own records only: the yardstick for every envelope before it is signed.

One frozen dataclass per kind of call; ``offerhub.stellar.verify`` compares an offered envelope with one of these, field by field.
Addresses are strkeys (G… accounts, C… contracts), amounts are stroops.
"""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.domain.withdrawals import Memo


@dataclass(frozen=True)
class EscrowTerms:
    """The immutable terms of an escrow contract (``reference/trustless-work.md`` §9.3).

    ``milestone_amounts`` is empty for single-release contracts. A multi-release one has an amount per milestone, each with ``receiver`` as
    its receiver; their sum is ``amount_stroops``.
    """

    engagement_id: str
    title: str
    description: str
    approver: str
    service_provider: str
    platform: str
    release_signer: str
    dispute_resolver: str
    receiver: str
    amount_stroops: int
    platform_fee_bps: int
    milestones: tuple[str, ...]
    milestone_amounts: tuple[int, ...] = ()

    @property
    def is_multi_release(self) -> bool:
        return bool(self.milestone_amounts)


@dataclass(frozen=True)
class DeployEscrow:
    """Create the contract through Trustless Work's factory, signed and paid by a platform signer."""

    source: str
    terms: EscrowTerms


@dataclass(frozen=True)
class FundEscrow:
    """Move the buyer's USDC into the contract; ``terms`` is the whole escrow the contract must still hold, untouched."""

    source: str
    contract_id: str
    terms: EscrowTerms
    amount_stroops: int


@dataclass(frozen=True)
class ChangeMilestoneStatus:
    """The seller states that a milestone is delivered."""

    source: str
    contract_id: str
    milestone_index: int
    status: str
    evidence: str
    on_multi_release: bool = False


@dataclass(frozen=True)
class ApproveMilestone:
    """The buyer approves a milestone."""

    source: str
    contract_id: str
    milestone_index: int
    on_multi_release: bool = False


@dataclass(frozen=True)
class ReleaseFunds:
    """The release signer (buyer) pays the escrow, or one milestone of a multi-release one, out to receiver, platform and protocol."""

    source: str
    contract_id: str
    milestone_index: int | None = None


@dataclass(frozen=True)
class FreezeEscrow:
    """A party disputes the escrow, or one milestone of a multi-release one: nothing leaves it until it is resolved."""

    source: str
    contract_id: str
    milestone_index: int | None = None


@dataclass(frozen=True)
class ResolveEscrow:
    """The dispute resolver divides the escrow, or one milestone of a multi-release one. Shares are gross, none of them zero."""

    source: str
    contract_id: str
    shares: tuple[tuple[str, int], ...]
    milestone_index: int | None = None


@dataclass(frozen=True)
class WithdrawRemaining:
    """The dispute resolver empties a multi-release escrow all of whose milestones are settled. Shares are gross."""

    source: str
    contract_id: str
    shares: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class ActivateWallets:
    """Create up to 19 sponsored accounts with a USDC trustline each, in one transaction of the sponsor."""

    source: str
    wallets: tuple[str, ...]


@dataclass(frozen=True)
class TrustAsset:
    """Open the platform's own USDC trustline."""

    source: str


@dataclass(frozen=True)
class PayOut:
    """A payment of USDC: of a user's to an account outside, or of the platform's to a user. The fee account pays for it."""

    source: str
    destination: str
    amount_stroops: int
    memo: Memo | None


EscrowIntent = (
    DeployEscrow | FundEscrow | ChangeMilestoneStatus | ApproveMilestone | ReleaseFunds | FreezeEscrow | ResolveEscrow | WithdrawRemaining
)
OwnIntent = ActivateWallets | TrustAsset | PayOut
Intent = EscrowIntent | OwnIntent


def is_multi_release(intent: EscrowIntent) -> bool:
    """Which of Trustless Work's two contracts the call is made to."""
    match intent:
        case DeployEscrow() | FundEscrow():
            return intent.terms.is_multi_release
        case ChangeMilestoneStatus() | ApproveMilestone():
            return intent.on_multi_release
        case ReleaseFunds() | FreezeEscrow() | ResolveEscrow():
            return intent.milestone_index is not None
        case WithdrawRemaining():
            return True
