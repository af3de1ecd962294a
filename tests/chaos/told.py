"""What the events tell of an order: only what may follow on what was told before, in the order in which it happened, to the end."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from itertools import pairwise
from typing import Any

from offerhub.domain.money import format_amount
from offerhub.domain.states import DISPUTE_TRANSITIONS, ESCROW_TRANSITIONS, ORDER_TRANSITIONS, DisputeState, EscrowState, OrderState
from offerhub.storage.orders import OrderRecord
from tests.chaos.installation import Installation
from tests.chaos.rulebook import Moment

_TOLD = """
SELECT type, aggregate_type, aggregate_id, payload, position FROM events
WHERE aggregate_type IN ('Order', 'Escrow', 'Dispute') AND payload ->> 'orderId' = :id ORDER BY inserted
"""
_BALANCES = """
SELECT type, payload, position FROM events WHERE type LIKE 'balance.%' AND aggregate_id = :id ORDER BY inserted
"""
_NUMBERED = """
SELECT count(*) AS number, coalesce(max(position), 0) AS last, count(DISTINCT position) AS places FROM events WHERE position IS NOT NULL
"""


async def assert_told(installation: Installation, order: OrderRecord, moment: Moment) -> None:
    """Of an order that nothing is under way for."""
    told = await installation.rows(_TOLD, id=order.id)
    await assert_numbered(installation, told)
    of_order = [row for row in told if row["aggregate_type"] == "Order"]
    assert of_order[0]["type"] == "order.created"
    assert _follow(of_order, OrderState, ORDER_TRANSITIONS)
    assert of_order[-1]["payload"]["status"] == moment.state
    of_escrow = [row for row in told if row["aggregate_type"] == "Escrow"]
    assert _follow(of_escrow, EscrowState, _eventually(ESCROW_TRANSITIONS)), of_escrow
    for dispute_id, (state, _) in moment.disputes.items():
        of_dispute = [row for row in told if row["aggregate_id"] == dispute_id]
        assert of_dispute[0]["type"] == "dispute.opened"
        assert _follow(of_dispute, DisputeState, DISPUTE_TRANSITIONS), of_dispute
        assert of_dispute[-1]["payload"]["status"] == state
    for user_id in (order.buyer_id, order.seller_id):
        await _assert_balances_told(installation, user_id)


async def assert_numbered(installation: Installation, told: list[dict[str, Any]]) -> None:
    """Positions follow what happened, and there is none without an event."""
    positions = [row["position"] for row in told if row["position"] is not None]
    assert positions == sorted(positions)
    [numbers] = await installation.rows(_NUMBERED)
    assert numbers["number"] == numbers["last"] == numbers["places"]


async def _assert_balances_told(installation: Installation, user_id: str) -> None:
    """Whoever adds up what was told of a user's balance has the balance that was told last."""
    told = [row["payload"] for row in await installation.rows(_BALANCES, id=user_id)]
    last = told[-1] if told else {"available": "0.00", "reserved": "0.00"}
    for name in ("available", "reserved"):
        assert last[name] == format_amount(await installation.balance(f"user:{user_id}:{name}"))


def _follow(rows: list[dict[str, Any]], states: type[StrEnum], transitions: Mapping[Any, frozenset[Any]]) -> bool:
    """Each status is the one before or may follow on it."""
    statuses = [states(row["payload"]["status"]) for row in rows]
    return all(before is after or after in transitions[before] for before, after in pairwise(statuses))


def _eventually(transitions: Mapping[EscrowState, frozenset[EscrowState]]) -> dict[EscrowState, frozenset[EscrowState]]:
    """Not every state of an escrow has an event."""
    reached = {state: set(following) for state, following in transitions.items()}
    for _ in reached:
        for found in reached.values():
            found |= {further for state in tuple(found) for further in transitions[state]}
    return {state: frozenset(found) for state, found in reached.items()}
