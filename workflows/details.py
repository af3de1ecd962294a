"""The Markdown that operators read at the top of a workflow's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from offerhub.domain.messages import DisputeView, OrderView, PlannedStep
from offerhub.domain.money import format_amount

# What the marketplace may do next, state by state; the other states wait for their operation.
_CALLS = {
    "ORDER_CREATED": ("reserve", "checkout", "cancel"),
    "FUNDS_RESERVED": ("escrow", "checkout", "cancel"),
    "ESCROW_FUNDING": ("escrow/fund", "escrow/abandon"),
    "IN_PROGRESS": ("resolution/release", "resolution/refund", "resolution/dispute"),
}
_PER_MILESTONE = ("milestones/{ref}/complete", "milestones/{ref}/release", "resolution/refund", "resolution/dispute")


@dataclass
class StepProgress:
    """What operators see of one step."""

    step: PlannedStep
    state: str = "waiting"
    envelopes: int = 0
    transaction_hash: str = ""
    reason: str = ""


def waiting_for(order: OrderView) -> str:
    if order.state == "CLOSED":
        return f"nothing: closed as {order.final_status}"
    if order.state == "DISPUTED":
        return f"the decision of dispute {order.dispute_id}, see workflow `dispute/{order.dispute_id}`"
    if order.state == "ESCROW_FUNDING" and order.escrow_state != "CREATED":
        return "its operation"
    calls = _PER_MILESTONE if order.state == "IN_PROGRESS" and order.is_per_milestone else _CALLS.get(order.state)
    if calls is None:
        return "its operation"
    return "the marketplace to call " + " or ".join(f"`POST /orders/{order.order_id}/{call}`" for call in calls)


def order_page(order: OrderView, doing: str, last_error: str) -> str:
    lines = [f"**{order.state}** · {order.title}", "", f"Waits for {waiting_for(order)}." if not doing else f"Carries out {doing}.", ""]
    facts = [("Buyer", order.buyer_id), ("Seller", order.seller_id), ("Amount", f"{order.amount} USDC")]
    facts += [("By itself", _by_itself(order)), ("Escrow", order.escrow_id)]
    facts += [("Contract", order.contract_id), ("Deployed by", order.deploy_hash), ("Funded by", order.fund_hash)]
    facts += [("Released by", order.release_hash), ("Refunded by", order.refund_hash), ("Dispute", order.dispute_id)]
    return "\n".join([*lines, *_listed([*facts, ("Last error", last_error)])])


def dispute_waits_for(dispute: DisputeView) -> str:
    match dispute.state:
        case "RESOLVED":
            return f"nothing: decided as {dispute.decision} by {dispute.resolved_by}"
        case "REFUSED":
            return "nothing: the contract could not be frozen, the order goes on"
        case "RESOLVING":
            return f"the contract to pay out as {dispute.resolved_by} decided: {dispute.decision}"
        case _:
            return "a decision" if dispute.frozen_hash else "the contract to be frozen"


def dispute_page(dispute: DisputeView, doing: str, last_error: str, last_refusal: str) -> str:
    waits = f"Carries out {doing}." if doing else f"Waits for {dispute_waits_for(dispute)}."
    milestone = f", milestone {dispute.milestone_ref}" if dispute.milestone_ref else ""
    facts = [("Order", f"{dispute.order_id}{milestone}"), ("Opened by", f"{dispute.opened_by}: {dispute.reason}")]
    facts += [("Amount to divide", f"{dispute.amount} USDC"), ("Assigned to", dispute.assigned_to), ("By itself", _by_itself(dispute))]
    facts += [("Contract", dispute.contract_id), ("Frozen by", dispute.frozen_hash), ("Paid out by", dispute.resolution_hash)]
    facts += [("Last refused decision", last_refusal), ("Last error", last_error)]
    return "\n".join([f"**{dispute.state}** · {waits}", "", *_listed(facts), "", *_how_to_decide(dispute)]).rstrip()


def dispute_summary(dispute: DisputeView) -> str:
    return f"Dispute {dispute.dispute_id} · order {dispute.order_id} · {dispute.amount} USDC · opened by {dispute.opened_by}"


def _how_to_decide(dispute: DisputeView) -> list[str]:
    """What the UI's signal form takes as input, in lines that fit where the UI shows them."""
    if dispute.state not in ("OPEN", "UNDER_REVIEW"):
        return []
    who = '"by": "your name", "note": "why"'
    whole = f'{{"decision": "FULL_REFUND", {who}}}'
    to_seller = dispute.amount_stroops // 2
    shares = f'"releaseAmount": "{format_amount(to_seller)}", "refundAmount": "{format_amount(dispute.amount_stroops - to_seller)}"'
    return [
        f"To decide, signal `decide` with one of these (or `POST /disputes/{dispute.dispute_id}/resolve`, without `by`):",
        "",
        "```",
        f'{{"decision": "FULL_RELEASE", {who}}}',
        whole,
        f'{{"decision": "SPLIT", {who},',
        f" {shares}}}",
        "```",
        "",
        f"The amounts of a SPLIT are both above zero and sum to {dispute.amount}; the contract takes its fees from each. In a shell:",
        "",
        "```",
        "temporal workflow signal --name decide \\",
        f"  --workflow-id dispute/{dispute.dispute_id} \\",
        f"  --input '{whole}'",
        "```",
    ]


def _by_itself(subject: OrderView | DisputeView) -> str:
    if not subject.deadline_unix:
        return ""
    return f"{subject.deadline} at {datetime.fromtimestamp(subject.deadline_unix, UTC):%Y-%m-%d %H:%M:%S}Z"


def _listed(facts: Sequence[tuple[str, str]]) -> list[str]:
    """Some of it was typed by people: it stays on its line, as it stands."""
    return [f"- {name}: `{' '.join(value.replace('`', chr(39)).split())}`" for name, value in facts if value]


def order_summary(order: OrderView) -> str:
    return f"Order {order.order_id} · {order.amount} USDC · {order.buyer_id} → {order.seller_id}"


def steps_page(progress: Sequence[StepProgress], note: str = "") -> str:
    head = [note, ""] if note else []
    if not progress:
        return "\n".join([*head, "No step has begun."])
    return "\n".join([*head, *(line for number, shown in enumerate(progress, 1) for line in _step(number, shown))]).rstrip()


def _step(number: int, shown: StepProgress) -> list[str]:
    envelopes = str(shown.envelopes) if shown.envelopes > 1 else ""
    facts = [("Transaction", shown.transaction_hash), ("Envelopes so far", envelopes), ("Last reason", shown.reason)]
    return [f"Step {number}, {shown.step.summary}: **{shown.state}**", "", *_listed(facts), ""]
