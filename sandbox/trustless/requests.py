"""The bodies of the V1 write endpoints, checked and turned into chain units: stroops and basis points."""

from __future__ import annotations

from decimal import Context, Decimal, Inexact
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, field_validator
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError
from stellar_sdk import StrKey

from sandbox.trustless.exact_json import STROOPS_PER_UNIT

MAX_STROOPS = 2**63 - 1
BPS_PER_PERCENT = 100
_EXACT = Context(prec=60, traps=[Inexact])


def _scaled(value: object, factor: int, decimals: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise PydanticCustomError("number", "must be a number")
    try:
        scaled = _EXACT.multiply(Decimal(value), factor)
    except Inexact:
        raise ValueError(f"must have at most {decimals} decimals") from None
    if abs(scaled) > MAX_STROOPS:
        raise ValueError("is out of range")
    if scaled != scaled.to_integral_value():
        raise ValueError(f"must have at most {decimals} decimals")
    return int(scaled)


def _stroops(value: object) -> int:
    return _scaled(value, STROOPS_PER_UNIT, 7)


def _basis_points(value: object) -> int:
    bps = _scaled(value, BPS_PER_PERCENT, 2)
    if not 0 <= bps < 2**32:
        raise ValueError("must not be negative")
    return bps


def _account(value: str) -> str:
    if not StrKey.is_valid_ed25519_public_key(value):
        raise ValueError("must be a Stellar account")
    return value


def _contract(value: str) -> str:
    if not StrKey.is_valid_contract(value):
        raise ValueError("must be a contract id")
    return value


def _payee(value: str) -> str:
    if not StrKey.is_valid_contract(value):
        return _account(value)
    return value


Amount = Annotated[int, BeforeValidator(_stroops)]
"""A decimal number of units in JSON, an int of stroops here."""
Percent = Annotated[int, BeforeValidator(_basis_points)]
"""A percentage with up to two decimals in JSON, basis points here."""
Account = Annotated[str, AfterValidator(_account)]
Contract = Annotated[str, AfterValidator(_contract)]
Payee = Annotated[str, AfterValidator(_payee)]
MilestoneIndex = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}$")]
Title = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Text = Annotated[str, StringConstraints(max_length=500)]


class Body(BaseModel):
    """Unknown fields are ignored, types are not converted."""

    model_config = ConfigDict(alias_generator=to_camel, frozen=True, strict=True)


class RolesBody(Body):
    approver: Payee
    service_provider: Payee
    platform_address: Payee
    release_signer: Payee
    dispute_resolver: Payee
    receiver: Payee


class MilestoneBody(Body):
    description: Text


class TrustlineBody(Body):
    """``address`` is the asset's issuer, not its contract."""

    address: Account
    symbol: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]{1,12}$")]


class FlagsBody(Body):
    disputed: bool = False
    released: bool = False
    resolved: bool = False


class NewEscrowBody(Body):
    """What a deploy of either kind names."""

    signer: Account
    engagement_id: Title
    title: Title
    description: Text
    platform_fee: Percent
    trustline: TrustlineBody
    flags: FlagsBody = FlagsBody()
    receiver_memo: Annotated[int, Field(ge=0, lt=2**32)] = 0


class DeployBody(NewEscrowBody):
    roles: RolesBody
    amount: Amount
    milestones: list[MilestoneBody]


class FundBody(Body):
    contract_id: Contract
    signer: Account
    amount: Amount


class StatusBody(Body):
    contract_id: Contract
    milestone_index: MilestoneIndex
    new_status: Text
    new_evidence: Text | None = None
    service_provider: Account


class ApproveBody(Body):
    contract_id: Contract
    milestone_index: MilestoneIndex
    approver: Account


class ReleaseBody(Body):
    contract_id: Contract
    release_signer: Account


class DisputeBody(Body):
    contract_id: Contract
    signer: Account


class DistributionBody(Body):
    address: Payee
    amount: Amount


class ResolveBody(Body):
    contract_id: Contract
    dispute_resolver: Account
    distributions: list[DistributionBody]

    @field_validator("distributions")
    @classmethod
    def _pays_everybody_once(cls, distributions: list[DistributionBody]) -> list[DistributionBody]:
        if len({share.address for share in distributions}) != len(distributions):
            raise ValueError("an address may appear only once")
        return distributions

    def amounts_stroops(self) -> dict[str, int]:
        return {share.address: share.amount for share in self.distributions}


class SendBody(Body):
    signed_xdr: str


class UpdateFromHashBody(Body):
    tx_hash: Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F]{64}$")]
