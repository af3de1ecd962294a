"""Escrows as the API shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stellar_sdk import xdr

from sandbox.contracts.escrow_record import Escrow, as_escrow
from sandbox.trustless.exact_json import units
from sandbox.trustless.requests import BPS_PER_PERCENT

if TYPE_CHECKING:
    from decimal import Decimal

    from sandbox.trustless.index import IndexedEscrow

ESCROW_TYPE = "single-release"


def api_roles(escrow: Escrow) -> dict[str, str]:
    roles = escrow.roles
    return {
        "approver": roles.approver,
        "serviceProvider": roles.service_provider,
        "platformAddress": roles.platform,
        "releaseSigner": roles.release_signer,
        "disputeResolver": roles.dispute_resolver,
        "receiver": roles.receiver,
    }


def escrow_fields(escrow: Escrow, asset_code: str, asset_issuer: str) -> dict[str, object]:
    """The part a deploy answers, in the API's names; the fee in percent, as it was asked for."""
    return {
        "engagementId": escrow.engagement_id,
        "title": escrow.title,
        "description": escrow.description,
        "roles": api_roles(escrow),
        "amount": units(escrow.amount_stroops),
        "platformFee": _percent(escrow.platform_fee_bps),
        "milestones": [
            {
                "description": milestone.description,
                "status": milestone.status,
                "evidence": milestone.evidence,
                "approved": milestone.approved,
            }
            for milestone in escrow.milestones
        ],
        "flags": {
            "disputed": escrow.flags.disputed,
            "released": escrow.flags.released,
            "resolved": escrow.flags.resolved,
        },
        "trustline": {"address": asset_issuer, "symbol": asset_code},
        "receiverMemo": escrow.receiver_memo,
    }


def indexed_document(row: IndexedEscrow) -> dict[str, object]:
    """From the index: the fee in hundredths of a percent, the real API's oddity."""
    escrow = as_escrow(xdr.SCVal.from_xdr_bytes(row.state))
    document = _read_object(row, escrow, row.balance_stroops)
    document["platformFee"] = escrow.platform_fee_bps
    return document


def validated_document(row: IndexedEscrow, escrow: Escrow, balance_stroops: int) -> dict[str, object]:
    """With the state read from the chain: the fee in percent."""
    return _read_object(row, escrow, balance_stroops)


def status_of(escrow: Escrow) -> str:
    if escrow.flags.resolved:
        return "resolved"
    if escrow.flags.released:
        return "released"
    if escrow.flags.disputed:
        return "inDispute"
    return "pendingRelease" if all(milestone.approved for milestone in escrow.milestones) else "working"


def _read_object(row: IndexedEscrow, escrow: Escrow, balance_stroops: int) -> dict[str, object]:
    return {
        "contractId": row.contract_id,
        "signer": row.signer,
        "type": ESCROW_TYPE,
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
