"""Prefixed ids that sort by creation time: ``ord_`` + 26 lower-case Crockford base-32 characters of a UUIDv7-style value.

Pure: the caller brings the clock and the randomness (``offerhub.storage.unit_of_work.new_id`` does).
"""

from __future__ import annotations

from typing import NewType

UserId = NewType("UserId", str)
WalletId = NewType("WalletId", str)
OrderId = NewType("OrderId", str)
MilestoneId = NewType("MilestoneId", str)
EscrowId = NewType("EscrowId", str)
OperationId = NewType("OperationId", str)
IntentId = NewType("IntentId", str)
AttemptId = NewType("AttemptId", str)
DepositId = NewType("DepositId", str)
WithdrawalId = NewType("WithdrawalId", str)
EventId = NewType("EventId", str)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
ENTROPY_BYTES = 10


def compose_id(prefix: str, unix_ms: int, entropy: bytes) -> str:
    """Build an id from 48 bits of time and 80 bits of entropy."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError("an id takes ten bytes of entropy")
    value = (unix_ms << 80) | int.from_bytes(entropy)
    return f"{prefix}_" + "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -5, -5))


def first_id_at(prefix: str, unix_ms: int) -> str:
    """No id of that moment or later is less; the moments before 1970 and after 10889 are as those."""
    return compose_id(prefix, min(max(unix_ms, 0), (1 << 48) - 1), bytes(ENTROPY_BYTES))


def order_workflow_id(order_id: str) -> str:
    return f"order/{order_id}"


def escrow_workflow_id(escrow_id: str) -> str:
    return f"escrow/{escrow_id}"


def release_workflow_id(order_id: str) -> str:
    return f"release/{order_id}"


def refund_workflow_id(order_id: str) -> str:
    return f"refund/{order_id}"


def milestone_workflow_id(milestone_id: str) -> str:
    return f"milestone/{milestone_id}"


def compensation_workflow_id(order_id: str) -> str:
    return f"compensation/{order_id}"


def remainder_workflow_id(order_id: str) -> str:
    return f"remainder/{order_id}"


def dispute_workflow_id(dispute_id: str) -> str:
    return f"dispute/{dispute_id}"


def withdrawal_workflow_id(withdrawal_id: str) -> str:
    return f"withdrawal/{withdrawal_id}"


def reconciliation_workflow_id(run_id: str) -> str:
    return f"reconciliation/{run_id}"


def webhook_workflow_id(endpoint_id: str) -> str:
    return f"webhook/{endpoint_id}"
