"""The Markdown that operators read at the top of a workflow's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offerhub.domain.messages import OrderView, PlannedStep

_CALLS = {
    "ORDER_CREATED": "POST /orders/{id}/reserve",
    "FUNDS_RESERVED": "POST /orders/{id}/escrow",
    "ESCROW_FUNDING": "POST /orders/{id}/escrow/fund",
    "IN_PROGRESS": "POST /orders/{id}/resolution/release",
}


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
    call = _CALLS.get(order.state)
    return f"the marketplace to call `{call.format(id=order.order_id)}`" if call else "its operation"


def order_page(order: OrderView, doing: str, last_error: str) -> str:
    lines = [f"**{order.state}** · {order.title}", "", f"Waits for {waiting_for(order)}." if not doing else f"Carries out {doing}.", ""]
    facts = [("Buyer", order.buyer_id), ("Seller", order.seller_id), ("Amount", f"{order.amount} USDC"), ("Escrow", order.escrow_id)]
    facts += [("Contract", order.contract_id), ("Deployed by", order.deploy_hash), ("Funded by", order.fund_hash)]
    facts += [("Released by", order.release_hash), ("Last error", last_error)]
    return "\n".join([*lines, *(f"- {name}: `{value}`" for name, value in facts if value)])


def order_summary(order: OrderView) -> str:
    return f"Order {order.order_id} · {order.amount} USDC · {order.buyer_id} → {order.seller_id}"


def steps_page(progress: Sequence[StepProgress], note: str = "") -> str:
    head = [note, ""] if note else []
    if not progress:
        return "\n".join([*head, "No step has begun."])
    rows = [
        f"| {shown.step.summary} | {shown.state} | {shown.envelopes} | `{shown.transaction_hash or '-'}` | {_cell(shown.reason)} |"
        for shown in progress
    ]
    return "\n".join([*head, "| Step | State | Envelopes | Transaction | Last reason |", "|---|---|---|---|---|", *rows])


def _cell(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ") or "-"
