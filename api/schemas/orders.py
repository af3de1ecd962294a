"""Orders with their milestones, escrow and quote."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, AliasChoices, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from api.schemas.answers import PageQuery
from api.schemas.disputes import Dispute
from api.schemas.fields import (
    MILESTONES,
    Amount,
    Body,
    Description,
    Id,
    Metadata,
    NullIs,
    Reason,
    Reference,
    RequestedAmount,
    RequestedCurrency,
    RequestedTime,
    Seconds,
    Shape,
    Time,
    Title,
    check_blank,
)
from api.schemas.operations import Operation
from offerhub.domain.states import EscrowState, FinalStatus, MilestoneState, OrderState, ReleaseMode


class MilestoneBody(Body):
    """Existing clients write ``ref`` and ``description`` where the REST documents say ``milestoneRef`` and ``title``."""

    milestone_ref: Reference = Field(validation_alias=AliasChoices("milestoneRef", "milestone_ref", "ref"))
    title: Title = Field(validation_alias=AliasChoices("title", "description"))
    amount: RequestedAmount | None = None


class CreateOrderBody(Body):
    buyer_id: Id
    seller_id: Id
    amount: RequestedAmount
    currency: Annotated[RequestedCurrency, NullIs("USDC")] = "USDC"
    title: Title
    description: Description | None = None
    milestones: Annotated[list[MilestoneBody], Field(max_length=MILESTONES), NullIs([])] = Field(default_factory=list)
    client_order_ref: Reference | None = None
    metadata: Annotated[Metadata, NullIs({})] = Field(default_factory=dict)
    release_mode: Annotated[ReleaseMode, NullIs("single")] = ReleaseMode.SINGLE
    auto_release_after_seconds: Seconds | None = None
    reservation_expires_after_seconds: Seconds | None = None
    checkout: Literal["reserve", "fund"] | None = None


class CancelBody(Body):
    reason: Reason | None = None
    canceled_by: Reason | None = None


class ReleaseBody(Body):
    reason: Reason | None = None
    requested_by: Reason | None = None


class RefundBody(Body):
    """``milestoneRef`` on orders that are paid out per milestone only."""

    reason: Annotated[Reason, AfterValidator(check_blank)]
    milestone_ref: Reference | None = None


class ExtendBody(Body):
    """Put the automatic release off by this many seconds."""

    extend_by_seconds: Seconds
    requested_by: Reason | None = None


class CompleteMilestoneBody(Body):
    """``evidence`` is recorded on the contract, for everybody to read."""

    evidence: Description | None = None


class AbandonBody(Body):
    reason: Reason | None = None


class OrderQuery(PageQuery):
    """``metadata[key]=value`` filters by metadata."""

    model_config = ConfigDict(alias_generator=to_camel, extra="allow", frozen=True)

    prefix = "ord"
    buyer_id: Id | None = None
    seller_id: Id | None = None
    status: OrderState | None = None
    client_order_ref: Reference | None = None
    created_after: RequestedTime | None = None
    created_before: RequestedTime | None = None

    @model_validator(mode="after")
    def _only_metadata_beside(self) -> OrderQuery:
        for name in self.model_extra or {}:
            if not (name.startswith("metadata[") and name.endswith("]") and len(name) > len("metadata[]")):
                raise ValueError(f"{name} is not a filter")
        return self

    @property
    def metadata(self) -> dict[str, str]:
        return {name.removeprefix("metadata[")[:-1]: str(value) for name, value in (self.model_extra or {}).items()}

    @property
    def between(self) -> tuple[datetime | None, datetime | None]:
        return self.created_after, self.created_before


class Milestone(Shape):
    """A milestone keeps only the time of its completion: ``createdAt`` and ``updatedAt`` are its order's, or its completion if later."""

    id: str
    order_id: str
    ref: str
    milestone_ref: str
    title: str
    description: str
    amount: Amount | None
    status: MilestoneState
    completed_at: Time | None
    evidence: str | None
    payout_transaction_hash: str | None
    created_at: Time
    updated_at: Time


class Escrow(Shape):
    """``…TransactionHash`` are the chain's inner hashes, ``txHash`` is the newest of them."""

    id: str
    order_id: str
    status: EscrowState
    amount: Amount
    currency: Literal["USDC"]
    contract_id: str | None
    deploy_transaction_hash: str | None
    fund_transaction_hash: str | None
    release_transaction_hash: str | None
    dispute_transaction_hash: str | None
    refund_transaction_hash: str | None
    tx_hash: str | None
    created_at: Time
    updated_at: Time


class Quote(Shape):
    """What a release of all of it pays, and what a full refund would; executed amounts equal it to the stroop."""

    amount: Amount
    protocol_fee: Amount
    platform_fee: Amount
    seller_receives: Amount
    buyer_receives_on_refund: Amount


class Order(Shape):
    """``operation`` is the one in flight, ``dispute`` the last one. ``…At`` are deadlines, null where none runs."""

    id: str
    client_order_ref: str | None
    buyer_id: str
    seller_id: str
    amount: Amount
    currency: Literal["USDC"]
    title: str
    description: str | None
    status: OrderState
    final_status: FinalStatus | None
    platform_fee_bps: int
    quote: Quote
    release_mode: ReleaseMode
    auto_release_after_seconds: int | None
    reservation_expires_after_seconds: int | None
    reservation_expires_at: Time | None
    auto_release_at: Time | None
    metadata: dict[str, Any]
    escrow: Escrow | None
    milestones: list[Milestone]
    dispute: Dispute | None
    operation: Operation | None
    cancel_reason: str | None
    created_at: Time
    updated_at: Time
    closed_at: Time | None


class OrderWithOperation(Shape):
    success: Literal[True] = True
    data: Order
    operation: Operation


class MilestoneWithOperation(Shape):
    success: Literal[True] = True
    data: Milestone
    operation: Operation


class OrderMaybeWithOperation(Shape):
    """``operation`` only with ``checkout: fund``."""

    success: Literal[True] = True
    data: Order
    operation: Operation | None = None
