"""Escrows as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stellar_sdk import xdr

from sandbox.contracts.escrow_record import Escrow
from sandbox.contracts.records import Record, as_record
from sandbox.trustless.exact_json import units
from sandbox.trustless.requests import BPS_PER_PERCENT

if TYPE_CHECKING:
    from decimal import Decimal

    from sandbox.contracts.multi_release_record import MultiReleaseEscrow
    from sandbox.trustless.index import IndexedEscrow


def role_holders(escrow: Record, signer: str) -> set[tuple[str, str]]:
    """Every (role, address) under which a search finds the escrow; a multi-release one may have many receivers."""
    receivers = set() if isinstance(escrow, Escrow) else {("receiver", each.receiver) for each in escrow.milestones}
    return {*_api_roles(escrow).items(), *receivers, ("signer", signer)}


def escrow_fields(escrow: Record, asset_code: str, asset_issuer: str) -> dict[str, object]:
    """The part a deploy answers, in the API's names; the fee in percent, as it was asked for."""
    own = _single_release_fields(escrow) if isinstance(escrow, Escrow) else _multi_release_fields(escrow)
    return {
        "engagementId": escrow.engagement_id,
        "title": escrow.title,
        "description": escrow.description,
        "roles": _api_roles(escrow),
        "platformFee": _percent(escrow.platform_fee_bps),
        **own,
        "trustline": {"address": asset_issuer, "symbol": asset_code},
        "receiverMemo": escrow.receiver_memo,
    }


def indexed_document(row: IndexedEscrow) -> dict[str, object]:
    """From the index: the fee in hundredths of a percent, the real API's oddity."""
    escrow = as_record(xdr.SCVal.from_xdr_bytes(row.state))
    document = _read_object(row, escrow, row.balance_stroops)
    document["platformFee"] = escrow.platform_fee_bps
    return document


def validated_document(row: IndexedEscrow, escrow: Record, balance_stroops: int) -> dict[str, object]:
    """With the state read from the chain: the fee in percent."""
    return _read_object(row, escrow, balance_stroops)


def status_of(escrow: Record) -> str:
    """Of a multi-release escrow an open dispute names the whole, and only the last milestone's end ends it."""
    return _single_release_status(escrow) if isinstance(escrow, Escrow) else _multi_release_status(escrow)


def _single_release_status(escrow: Escrow) -> str:
    if escrow.flags.resolved:
        return "resolved"
    if escrow.flags.released:
        return "released"
    if escrow.flags.disputed:
        return "inDispute"
    return "pendingRelease" if all(milestone.approved for milestone in escrow.milestones) else "working"


def _multi_release_status(escrow: MultiReleaseEscrow) -> str:
    flags = [milestone.flags for milestone in escrow.milestones]
    if any(each.disputed for each in flags):
        return "inDispute"
    if all(each.released or each.resolved for each in flags):
        return "resolved" if any(each.resolved for each in flags) else "released"
    waiting = [each for each in flags if not each.released and not each.resolved]
    return "pendingRelease" if all(each.approved for each in waiting) else "working"


def _api_roles(escrow: Record) -> dict[str, str]:
    roles = escrow.roles
    receiver = {"receiver": escrow.roles.receiver} if isinstance(escrow, Escrow) else {}
    return {
        "approver": roles.approver,
        "serviceProvider": roles.service_provider,
        "platformAddress": roles.platform,
        "releaseSigner": roles.release_signer,
        "disputeResolver": roles.dispute_resolver,
        **receiver,
    }


def _single_release_fields(escrow: Escrow) -> dict[str, object]:
    return {
        "amount": units(escrow.amount_stroops),
        "milestones": [
            {
                "description": milestone.description,
                "status": milestone.status,
                "evidence": milestone.evidence,
                "approved": milestone.approved,
            }
            for milestone in escrow.milestones
        ],
        "flags": vars(escrow.flags),
    }


def _multi_release_fields(escrow: MultiReleaseEscrow) -> dict[str, object]:
    return {
        "milestones": [
            {
                "description": milestone.description,
                "amount": units(milestone.amount_stroops),
                "receiver": milestone.receiver,
                "status": milestone.status,
                "evidence": milestone.evidence,
                "flags": vars(milestone.flags),
            }
            for milestone in escrow.milestones
        ],
    }


def _read_object(row: IndexedEscrow, escrow: Record, balance_stroops: int) -> dict[str, object]:
    return {
        "contractId": row.contract_id,
        "signer": row.signer,
        "type": "single-release" if isinstance(escrow, Escrow) else "multi-release",
        **escrow_fields(escrow, row.asset_code, row.asset_issuer),
        "balance": units(balance_stroops),
        "isActive": True,
        "approverFunds": "0",
        "receiverFunds": "0",
        "user": row.signer,
        "createdAt": _timestamp(row.created_at),
        "updatedAt": _timestamp(row.updated_at),
    }


def _percent(bps: int) -> Decimal:
    return units(bps) * (10**7 // BPS_PER_PERCENT)


def _timestamp(seconds: int) -> dict[str, int]:
    return {"_seconds": seconds, "_nanoseconds": 0}
