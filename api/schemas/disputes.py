"""Disputes: how they are opened, what is said, how they end."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, StringConstraints

from api.schemas.answers import PageQuery
from api.schemas.fields import Amount, Body, Id, Reference, RequestedAmount, Shape, Time
from api.schemas.operations import Operation
from offerhub.domain.states import Decision, DisputeState

PartyName = Literal["BUYER", "SELLER"]
DisputeReason = Literal["NOT_DELIVERED", "QUALITY_ISSUE", "OTHER"]
Text = Annotated[str, StringConstraints(min_length=1, max_length=4_000)]
Address = Annotated[str, StringConstraints(max_length=2_000, pattern=r"^https?://\S+$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class OpenDisputeBody(Body):
    """``milestoneRef`` on orders that are paid out per milestone only."""

    opened_by: PartyName
    reason: DisputeReason
    description: Text | None = None
    evidence: list[Text] = Field(default_factory=list, max_length=20)
    milestone_ref: Reference | None = None


class AssignBody(Body):
    """Existing clients write ``agentId`` or ``supportAgentId``."""

    assigned_to: Reference = Field(
        validation_alias=AliasChoices("assignedTo", "assigned_to", "agentId", "agent_id", "supportAgentId", "support_agent_id")
    )
    notes: Text | None = None


class EvidenceBody(Body):
    """``author`` in the marketplace's own words; without one it is the API key. ``sha256`` is the hash of what ``url`` shows."""

    author: Reference | None = Field(default=None, validation_alias=AliasChoices("author", "submittedBy", "submitted_by"))
    text: Text = Field(validation_alias=AliasChoices("text", "description"))
    url: Address | None = None
    sha256: Sha256 | None = None


class MessageBody(Body):
    author: Reference | None = None
    text: Text = Field(validation_alias=AliasChoices("text", "message"))


class ResolveBody(Body):
    """A SPLIT needs both amounts, gross, with their sum equal to what the escrow holds; the other decisions need none."""

    decision: Decision
    release_amount: RequestedAmount | None = None
    refund_amount: RequestedAmount | None = None
    note: Text | None = None


class DisputeQuery(PageQuery):
    prefix = "dsp"
    order_id: Id | None = None
    status: DisputeState | None = None
    opened_by: PartyName | None = None
    assigned_to: Reference | None = None


class DisputeRecordEntry(Shape):
    """``contentHash`` is the sha256 of the JSON of author and content with sorted keys."""

    id: str
    kind: Literal["EVIDENCE", "MESSAGE"]
    author: str
    content: dict[str, Any]
    content_hash: str
    created_at: Time


class Dispute(Shape):
    """``amount`` is what a decision distributes, gross. The contract is frozen once ``freezeTransactionHash`` is there. Existing clients
    read the decision as ``resolutionDecision`` and its note as ``decisionNote``.
    """

    id: str
    order_id: str
    milestone_ref: str | None
    status: DisputeState
    opened_by: PartyName
    reason: str
    description: str | None
    amount: Amount
    assigned_to: str | None
    notes: str | None
    decision: Decision | None
    resolution_decision: Decision | None
    release_amount: Amount | None
    refund_amount: Amount | None
    note: str | None
    decision_note: str | None
    resolved_by: str | None
    freeze_transaction_hash: str | None
    resolution_transaction_hash: str | None
    workflow_id: str
    escalates_at: Time | None
    escalated_at: Time | None
    decides_at: Time | None
    default_decision: Decision | None
    created_at: Time
    updated_at: Time
    resolved_at: Time | None


class DisputeWithRecords(Dispute):
    evidence: list[DisputeRecordEntry]
    messages: list[DisputeRecordEntry]


class DisputeWithOperation(Shape):
    success: Literal[True] = True
    data: Dispute
    operation: Operation
