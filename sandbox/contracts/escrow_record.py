"""The single-release escrow as the contract stores it (lineage C), and its exact on-chain encoding."""

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
class Flags:
    disputed: bool = False
    released: bool = False
    resolved: bool = False


@dataclass(frozen=True)
class Milestone:
    description: str
    status: str = "pending"
    evidence: str = ""
    approved: bool = False


@dataclass(frozen=True)
class Roles:
    approver: str
    dispute_resolver: str
    platform: str
    receiver: str
    release_signer: str
    service_provider: str


@dataclass(frozen=True)
class Escrow:
    """``trustline`` is the token contract (C...); ``platform_fee_bps`` is the field ``platform_fee``."""

    amount_stroops: int
    description: str
    engagement_id: str
    flags: Flags
    milestones: tuple[Milestone, ...]
    platform_fee_bps: int
    receiver_memo: int
    roles: Roles
    title: str
    trustline: str


_FLAGS = frozenset(Flags.__dataclass_fields__)
_MILESTONE = frozenset(Milestone.__dataclass_fields__)
_ROLES = frozenset(Roles.__dataclass_fields__)
_TRUSTLINE = frozenset({"address"})
_ESCROW = frozenset(
    {
        "amount", "description", "engagement_id", "flags", "milestones",
        "platform_fee", "receiver_memo", "roles", "title", "trustline",
    }
)  # fmt: skip


def escrow_value(escrow: Escrow) -> xdr.SCVal:
    return struct_value(
        {
            "amount": scval.to_int128(escrow.amount_stroops),
            "description": string_value(escrow.description),
            "engagement_id": string_value(escrow.engagement_id),
            "flags": struct_value({name: scval.to_bool(getattr(escrow.flags, name)) for name in _FLAGS}),
            "milestones": vec_value([_milestone_value(milestone) for milestone in escrow.milestones]),
            "platform_fee": scval.to_uint32(escrow.platform_fee_bps),
            "receiver_memo": scval.to_uint32(escrow.receiver_memo),
            "roles": struct_value({name: address_value(getattr(escrow.roles, name)) for name in _ROLES}),
            "title": string_value(escrow.title),
            "trustline": struct_value({"address": address_value(escrow.trustline)}),
        }
    )


def as_escrow(value: xdr.SCVal) -> Escrow:
    fields = as_struct(value, _ESCROW)
    flags = as_struct(fields["flags"], _FLAGS)
    roles = as_struct(fields["roles"], _ROLES)
    return Escrow(
        amount_stroops=as_i128(fields["amount"]),
        description=as_string(fields["description"]),
        engagement_id=as_string(fields["engagement_id"]),
        flags=Flags(**{name: as_bool(flag) for name, flag in flags.items()}),
        milestones=tuple(_as_milestone(milestone) for milestone in as_vec(fields["milestones"])),
        platform_fee_bps=as_u32(fields["platform_fee"]),
        receiver_memo=as_u32(fields["receiver_memo"]),
        roles=Roles(**{name: as_address(role) for name, role in roles.items()}),
        title=as_string(fields["title"]),
        trustline=as_address(as_struct(fields["trustline"], _TRUSTLINE)["address"]),
    )


def _milestone_value(milestone: Milestone) -> xdr.SCVal:
    return struct_value(
        {
            "approved": scval.to_bool(milestone.approved),
            "description": string_value(milestone.description),
            "evidence": string_value(milestone.evidence),
            "status": string_value(milestone.status),
        }
    )


def _as_milestone(value: xdr.SCVal) -> Milestone:
    fields = as_struct(value, _MILESTONE)
    return Milestone(
        description=as_string(fields["description"]),
        status=as_string(fields["status"]),
        evidence=as_string(fields["evidence"]),
        approved=as_bool(fields["approved"]),
    )
