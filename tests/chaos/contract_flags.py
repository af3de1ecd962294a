"""Whether a contract says of itself what its order says: frozen, paid out as agreed, or decided by somebody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# `parts`: of what is paid out in one piece, the state and whether a dispute about it has been decided.
ORDERS = """
SELECT e.contract_id, CASE o.release_mode
    WHEN 'single' THEN jsonb_build_array(jsonb_build_array(
        coalesce(o.final_status, o.state),
        EXISTS (SELECT FROM disputes d WHERE d.order_id = o.id AND d.state = 'RESOLVED')))
    ELSE (SELECT jsonb_agg(jsonb_build_array(
            m.state,
            EXISTS (SELECT FROM disputes d WHERE d.order_id = o.id AND d.milestone_index = m.position AND d.state = 'RESOLVED'))
        ORDER BY m.position) FROM milestones m WHERE m.order_id = o.id)
    END AS parts
FROM orders o JOIN escrows e ON e.order_id = o.id
WHERE e.contract_id IS NOT NULL AND (CAST(:order_id AS text) IS NULL OR o.id = :order_id)
"""
_PAID = ("RELEASED", "REFUNDED", "SPLIT")


def flags_of(row: Mapping[str, Any]) -> list[set[str]]:
    """What the contract must say, part by part."""
    return [_flags(state, was_decided=was_decided) for state, was_decided in row["parts"]]


def flags_on_chain(document: Mapping[str, Any]) -> list[set[str]]:
    parts = [document] if "flags" in document else document["milestones"]
    return [{name for name, is_set in part["flags"].items() if is_set and name != "approved"} for part in parts]


def _flags(state: str, *, was_decided: bool) -> set[str]:
    """A refund is a dispute that is decided at once."""
    if state in _PAID:
        return {"released"} if state == "RELEASED" and not was_decided else {"resolved"}
    return {"disputed"} if state == "DISPUTED" else set()
