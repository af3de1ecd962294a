"""Our intents in the words of Trustless Work's V1 API: path and body (``reference/trustless-work.md`` §3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from offerhub.domain.intents import (
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    FundEscrow,
    ReleaseFunds,
)
from offerhub.domain.money import DECIMALS, USDC
from offerhub.providers.exact_json import Value


@dataclass(frozen=True)
class EscrowRequest:
    path: str
    body: dict[str, Value]


def escrow_request(intent: EscrowIntent, usdc_issuer: str) -> EscrowRequest:
    match intent:
        case DeployEscrow():
            return EscrowRequest("/deployer/single-release", _deployment(intent, usdc_issuer))
        case FundEscrow():
            body: dict[str, Value] = {
                "contractId": intent.contract_id,
                "signer": intent.source,
                "amount": _units(intent.amount_stroops),
            }
            return EscrowRequest("/escrow/single-release/fund-escrow", body)
        case ChangeMilestoneStatus():
            status: dict[str, Value] = {
                "contractId": intent.contract_id,
                "milestoneIndex": str(intent.milestone_index),
                "newStatus": intent.status,
                "newEvidence": intent.evidence,
                "serviceProvider": intent.source,
            }
            return EscrowRequest("/escrow/single-release/change-milestone-status", status)
        case ApproveMilestone():
            approval: dict[str, Value] = {
                "contractId": intent.contract_id,
                "milestoneIndex": str(intent.milestone_index),
                "approver": intent.source,
            }
            return EscrowRequest("/escrow/single-release/approve-milestone", approval)
        case ReleaseFunds():
            release: dict[str, Value] = {"contractId": intent.contract_id, "releaseSigner": intent.source}
            return EscrowRequest("/escrow/single-release/release-funds", release)


def _deployment(intent: DeployEscrow, usdc_issuer: str) -> dict[str, Value]:
    terms = intent.terms
    return {
        "signer": intent.source,
        "engagementId": terms.engagement_id,
        "title": terms.title,
        "description": terms.description,
        "roles": {
            "approver": terms.approver,
            "serviceProvider": terms.service_provider,
            "platformAddress": terms.platform,
            "releaseSigner": terms.release_signer,
            "disputeResolver": terms.dispute_resolver,
            "receiver": terms.receiver,
        },
        "amount": _units(terms.amount_stroops),
        # Percent here, basis points on the chain.
        "platformFee": _shifted(terms.platform_fee_bps, 2),
        "milestones": [{"description": description} for description in terms.milestones],
        "trustline": {"address": usdc_issuer, "symbol": USDC},
    }


def _units(amount_stroops: int) -> Decimal:
    return _shifted(amount_stroops, DECIMALS)


def _shifted(value: int, places: int) -> Decimal:
    """``value`` / 10^``places``, written without the zeros a JSON number does not need; ``Decimal`` here never rounds."""
    digits = f"{value:0{places + 1}d}"
    return Decimal(f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip("."))
