"""The multi-release escrow as the contract stores it, and its exact on-chain encoding.

Amount, receiver and flags belong to each milestone; the escrow as a whole has none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stellar_sdk import scval

from sandbox.contracts.values import (
    address_value,
    as_address,
    as_bool,
    as_i128,
    as_string,
    as_struct,
    as_u32,
    as_vec,
    string_value,
    struct_value,
    vec_value,
)

if TYPE_CHECKING:
    from stellar_sdk import xdr


@dataclass(frozen=True)
class MilestoneFlags:
    approved: bool = False
    disputed: bool = False
    released: bool = False
    resolved: bool = False


@dataclass(frozen=True)
class PaidMilestone:
    amount_stroops: int
    description: str
    receiver: str
    status: str = "pending"
    evidence: str = ""
    flags: MilestoneFlags = MilestoneFlags()


@dataclass(frozen=True)
class MultiReleaseRoles:
    approver: str
    dispute_resolver: str
    platform: str
    release_signer: str
    service_provider: str


@dataclass(frozen=True)
class MultiReleaseEscrow:
    """``trustline`` is the token contract (C...); ``platform_fee_bps`` is the field ``platform_fee``."""

    description: str
    engagement_id: str
    milestones: tuple[PaidMilestone, ...]
    platform_fee_bps: int
    receiver_memo: int
    roles: MultiReleaseRoles
    title: str
    trustline: str


_FLAGS = frozenset(MilestoneFlags.__dataclass_fields__)
_MILESTONE = frozenset({"amount", "description", "evidence", "flags", "receiver", "status"})
_ROLES = frozenset(MultiReleaseRoles.__dataclass_fields__)
_TRUSTLINE = frozenset({"address"})
_ESCROW = frozenset(
    {"description", "engagement_id", "milestones", "platform_fee", "receiver_memo", "roles", "title", "trustline"},
)


def multi_release_value(escrow: MultiReleaseEscrow) -> xdr.SCVal:
    return struct_value(
        {
            "description": string_value(escrow.description),
            "engagement_id": string_value(escrow.engagement_id),
            "milestones": vec_value([_milestone_value(milestone) for milestone in escrow.milestones]),
            "platform_fee": scval.to_uint32(escrow.platform_fee_bps),
            "receiver_memo": scval.to_uint32(escrow.receiver_memo),
            "roles": struct_value({name: address_value(getattr(escrow.roles, name)) for name in _ROLES}),
            "title": string_value(escrow.title),
            "trustline": struct_value({"address": address_value(escrow.trustline)}),
        }
    )


def as_multi_release(value: xdr.SCVal) -> MultiReleaseEscrow:
    fields = as_struct(value, _ESCROW)
    roles = as_struct(fields["roles"], _ROLES)
    return MultiReleaseEscrow(
        description=as_string(fields["description"]),
        engagement_id=as_string(fields["engagement_id"]),
        milestones=tuple(_as_milestone(milestone) for milestone in as_vec(fields["milestones"])),
        platform_fee_bps=as_u32(fields["platform_fee"]),
        receiver_memo=as_u32(fields["receiver_memo"]),
        roles=MultiReleaseRoles(**{name: as_address(role) for name, role in roles.items()}),
        title=as_string(fields["title"]),
        trustline=as_address(as_struct(fields["trustline"], _TRUSTLINE)["address"]),
    )


def _milestone_value(milestone: PaidMilestone) -> xdr.SCVal:
    return struct_value(
        {
            "amount": scval.to_int128(milestone.amount_stroops),
            "description": string_value(milestone.description),
            "evidence": string_value(milestone.evidence),
            "flags": struct_value({name: scval.to_bool(getattr(milestone.flags, name)) for name in _FLAGS}),
            "receiver": address_value(milestone.receiver),
            "status": string_value(milestone.status),
        }
    )


def _as_milestone(value: xdr.SCVal) -> PaidMilestone:
    fields = as_struct(value, _MILESTONE)
    flags = as_struct(fields["flags"], _FLAGS)
    return PaidMilestone(
        amount_stroops=as_i128(fields["amount"]),
        description=as_string(fields["description"]),
        receiver=as_address(fields["receiver"]),
        status=as_string(fields["status"]),
        evidence=as_string(fields["evidence"]),
        flags=MilestoneFlags(**{name: as_bool(flag) for name, flag in flags.items()}),
    )
