"""What we mean to do on the chain, derived from our own records only: the yardstick for every envelope before it is signed.

One frozen dataclass per kind of call; ``offerhub.stellar.verify`` compares an offered envelope with one of these, field by field.
Addresses are strkeys (G… accounts, C… contracts), amounts are stroops.
"""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.domain.withdrawals import Memo


@dataclass(frozen=True)
class EscrowTerms:
    """The immutable terms of a single-release escrow contract (``reference/trustless-work.md`` §9.3)."""

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


@dataclass(frozen=True)
class ApproveMilestone:
    """The buyer approves a milestone."""

    source: str
    contract_id: str
    milestone_index: int


@dataclass(frozen=True)
class ReleaseFunds:
    """The release signer (buyer) pays the escrow out to receiver, platform and protocol."""

    source: str
    contract_id: str


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
    """Pay a user's USDC to an account outside; ``source`` is the user's wallet, the fee account pays for it."""

    source: str
    destination: str
    amount_stroops: int
    memo: Memo | None


EscrowIntent = DeployEscrow | FundEscrow | ChangeMilestoneStatus | ApproveMilestone | ReleaseFunds
OwnIntent = ActivateWallets | TrustAsset | PayOut
Intent = EscrowIntent | OwnIntent
