"""Our intents in the words of Trustless Work's V1 API: path and body (``reference/trustless-work.md`` §3)."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from offerhub.domain.intents import (
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    EscrowTerms,
    FreezeEscrow,
    FundEscrow,
    ReleaseFunds,
    ResolveEscrow,
    WithdrawRemaining,
    is_multi_release,
)
from offerhub.domain.money import DECIMALS, USDC
from offerhub.providers.exact_json import Value

Body = dict[str, Value]


@dataclass(frozen=True)
class EscrowRequest:
    path: str
    body: Body


def escrow_request(intent: EscrowIntent, usdc_issuer: str) -> EscrowRequest:
    kind = "multi-release" if is_multi_release(intent) else "single-release"
    if isinstance(intent, DeployEscrow):
        return EscrowRequest(f"/deployer/{kind}", _deployment(intent, usdc_issuer))
    name, body = _call(intent)
    return EscrowRequest(f"/escrow/{kind}/{name}", {"contractId": intent.contract_id, **body})


def _call(
    intent: FundEscrow | ChangeMilestoneStatus | ApproveMilestone | ReleaseFunds | FreezeEscrow | ResolveEscrow | WithdrawRemaining,
) -> tuple[str, Body]:
    """The last part of the path, and the body without the contract."""
    match intent:
        case FundEscrow():
            return "fund-escrow", {"signer": intent.source, "amount": _units(intent.amount_stroops)}
        case ChangeMilestoneStatus():
            change: Body = {"newStatus": intent.status, "newEvidence": intent.evidence, "serviceProvider": intent.source}
            return "change-milestone-status", {**_milestone(intent.milestone_index), **change}
        case ApproveMilestone():
            return "approve-milestone", {**_milestone(intent.milestone_index), "approver": intent.source}
        case ReleaseFunds():
            name = "release-funds" if intent.milestone_index is None else "release-milestone-funds"
            return name, {**_milestone(intent.milestone_index), "releaseSigner": intent.source}
        case FreezeEscrow():
            name = "dispute-escrow" if intent.milestone_index is None else "dispute-milestone"
            return name, {**_milestone(intent.milestone_index), "signer": intent.source}
        case ResolveEscrow() | WithdrawRemaining():
            return _sharing_out(intent)


def _sharing_out(intent: ResolveEscrow | WithdrawRemaining) -> tuple[str, Body]:
    shares: list[Value] = [{"address": address, "amount": _units(amount_stroops)} for address, amount_stroops in intent.shares]
    body: Body = {"disputeResolver": intent.source, "distributions": shares}
    if isinstance(intent, WithdrawRemaining):
        return "withdraw-remaining-funds", body
    name = "resolve-dispute" if intent.milestone_index is None else "resolve-milestone-dispute"
    return name, {**_milestone(intent.milestone_index), **body}


def _deployment(intent: DeployEscrow, usdc_issuer: str) -> Body:
    terms = intent.terms
    roles: Body = {
        "approver": terms.approver,
        "serviceProvider": terms.service_provider,
        "platformAddress": terms.platform,
        "releaseSigner": terms.release_signer,
        "disputeResolver": terms.dispute_resolver,
    }
    return {
        "signer": intent.source,
        "engagementId": terms.engagement_id,
        "title": terms.title,
        "description": terms.description,
        # Percent here, basis points on the chain.
        "platformFee": _shifted(terms.platform_fee_bps, 2),
        "trustline": {"address": usdc_issuer, "symbol": USDC},
        **(_paid_per_milestone(terms, roles) if terms.is_multi_release else _paid_at_once(terms, roles)),
    }


def _paid_at_once(terms: EscrowTerms, roles: Body) -> Body:
    return {
        "roles": {**roles, "receiver": terms.receiver},
        "amount": _units(terms.amount_stroops),
        "milestones": [{"description": description} for description in terms.milestones],
    }


def _paid_per_milestone(terms: EscrowTerms, roles: Body) -> Body:
    pairs = zip(terms.milestones, terms.milestone_amounts, strict=True)
    return {
        "roles": roles,
        "milestones": [{"description": description, "amount": _units(amount), "receiver": terms.receiver} for description, amount in pairs],
    }


def _milestone(index: int | None) -> Body:
    return {} if index is None else {"milestoneIndex": str(index)}


def _units(amount_stroops: int) -> Decimal:
    return _shifted(amount_stroops, DECIMALS)


def _shifted(value: int, places: int) -> Decimal:
    """``value`` / 10^``places``, written without the zeros a JSON number does not need; ``Decimal`` here never rounds."""
    digits = f"{value:0{places + 1}d}"
    return Decimal(f"{digits[:-places]}.{digits[-places:]}".rstrip("0").rstrip("."))
