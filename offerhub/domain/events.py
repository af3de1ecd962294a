"""The event catalogue: every type with the fields of its payload, as data (``model.md`` §4).

``docs/reference/events.md`` and the events of the OpenAPI document are made from it; an event that does not match is a bug and raises at
once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class EventType:
    """Required and optional payload fields, all strings or null; those in ``AMOUNT_FIELDS`` are amounts."""

    aggregate: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


_ORDER = ("orderId", "status", "buyerId", "sellerId", "amount")
_BALANCE = ("userId", "amount", "source", "available", "reserved")
_WITHDRAWAL = ("withdrawalId", "userId", "status", "amount", "destinationType", "destinationRef")
_ESCROW = ("escrowId", "orderId", "status", "contractId")
_DISPUTE = ("disputeId", "orderId", "status", "openedBy", "reason", "amount")
_ENVELOPE = ("attemptId", "intentId", "status", "innerHash", "outerHash", "sourceAccount", "sequence", "expiresAt")

CATALOGUE: Mapping[str, EventType] = {
    "user.created": EventType("User", ("userId", "externalUserId", "type")),
    "user.updated": EventType("User", ("userId", "externalUserId", "type", "status")),
    "user.suspended": EventType("User", ("userId", "externalUserId", "type", "status")),
    "wallet.created": EventType("Wallet", ("walletId", "userId", "publicKey")),
    "wallet.ready": EventType("Wallet", ("walletId", "userId", "publicKey")),
    "balance.credited": EventType("Balance", _BALANCE, ("transactionHash", "orderId", "depositId", "withdrawalId")),
    "balance.debited": EventType("Balance", _BALANCE, ("transactionHash", "orderId", "withdrawalId")),
    "balance.reserved": EventType("Balance", _BALANCE, ("orderId",)),
    "balance.released": EventType("Balance", _BALANCE, ("orderId",)),
    "order.created": EventType("Order", _ORDER, ("clientOrderRef",)),
    "order.funds_reserved": EventType("Order", _ORDER),
    "order.escrow_creating": EventType("Order", _ORDER),
    "order.escrow_funding": EventType("Order", _ORDER, ("contractId",)),
    "order.escrow_funded": EventType("Order", _ORDER, ("contractId", "transactionHash")),
    "order.in_progress": EventType("Order", _ORDER),
    "order.release_requested": EventType("Order", _ORDER),
    "order.released": EventType("Order", _ORDER, ("transactionHash", "sellerAmount", "buyerAmount", "platformFee", "protocolFee")),
    "order.milestone_completed": EventType("Order", (*_ORDER, "milestoneRef"), ("transactionHash", "autoReleaseAt")),
    "order.milestone_released": EventType(
        "Order", (*_ORDER, "milestoneRef"), ("transactionHash", "sellerAmount", "buyerAmount", "platformFee", "protocolFee")
    ),
    "order.milestone_refunded": EventType(
        "Order", (*_ORDER, "milestoneRef"), ("transactionHash", "sellerAmount", "buyerAmount", "platformFee", "protocolFee")
    ),
    "order.release_scheduled": EventType("Order", (*_ORDER, "autoReleaseAt"), ("requestedBy",)),
    "order.refund_requested": EventType("Order", _ORDER, ("reason",)),
    "order.refunded": EventType("Order", _ORDER, ("transactionHash", "sellerAmount", "buyerAmount", "platformFee", "protocolFee")),
    "order.disputed": EventType("Order", _ORDER, ("disputeId",)),
    "order.canceled": EventType("Order", _ORDER, ("reason",)),
    "order.expired": EventType("Order", _ORDER, ("reservationExpiresAt",)),
    "order.closed": EventType("Order", (*_ORDER, "finalStatus")),
    "order.operation_failed": EventType("Order", (*_ORDER, "operationId", "code", "message")),
    "escrow.created": EventType("Escrow", _ESCROW, ("transactionHash",)),
    "escrow.funding_started": EventType("Escrow", _ESCROW),
    "escrow.funded": EventType("Escrow", (*_ESCROW, "amount"), ("transactionHash",)),
    "escrow.released": EventType("Escrow", (*_ESCROW, "amount"), ("transactionHash",)),
    "escrow.milestone_completed": EventType("Escrow", (*_ESCROW, "milestoneRef"), ("transactionHash",)),
    "escrow.refunded": EventType("Escrow", (*_ESCROW, "amount"), ("transactionHash",)),
    "escrow.disputed": EventType("Escrow", _ESCROW, ("transactionHash", "disputeId")),
    "escrow.excess_found": EventType("Escrow", (*_ESCROW, "amount"), ("operationId",)),
    "escrow.abandoned": EventType("Escrow", _ESCROW),
    "dispute.opened": EventType("Dispute", _DISPUTE, ("milestoneRef", "description", "escalatesAt", "decidesAt")),
    "dispute.under_review": EventType("Dispute", _DISPUTE, ("assignedTo",)),
    "dispute.evidence_added": EventType("Dispute", (*_DISPUTE, "recordId", "kind", "author", "contentHash")),
    "dispute.escalated": EventType("Dispute", _DISPUTE, ("assignedTo", "decidesAt")),
    "dispute.refused": EventType("Dispute", _DISPUTE, ("code", "message")),
    "dispute.resolving": EventType("Dispute", (*_DISPUTE, "decision", "releaseAmount", "refundAmount", "resolvedBy")),
    "dispute.resolved": EventType(
        "Dispute",
        (*_DISPUTE, "decision", "releaseAmount", "refundAmount", "resolvedBy"),
        ("transactionHash", "sellerAmount", "buyerAmount"),
    ),
    "withdrawal.created": EventType("Withdrawal", _WITHDRAWAL, ("memo", "memoType")),
    "withdrawal.committed": EventType("Withdrawal", _WITHDRAWAL, ("operationId",)),
    "withdrawal.pending": EventType("Withdrawal", _WITHDRAWAL, ("operationId",)),
    "withdrawal.completed": EventType("Withdrawal", (*_WITHDRAWAL, "transactionHash"), ("operationId",)),
    "withdrawal.failed": EventType("Withdrawal", (*_WITHDRAWAL, "code", "message"), ("operationId",)),
    "deposits.halted": EventType("Stream", ("stream", "reason", "cursor")),
    "deposits.resumed": EventType("Stream", ("stream", "ledger")),
    "reconciliation.completed": EventType("Reconciliation", ("runId", "findings")),
    "reconciliation.drift_detected": EventType(
        "Reconciliation", ("runId", "findingId", "kind", "resourceType", "resourceId", "explanation"), ("userId", "expected", "found")
    ),
    "platform_account.low": EventType("PlatformAccount", ("publicKey", "kind", "xlm", "minimumXlm")),
    "envelope.unknown": EventType("Attempt", _ENVELOPE, ("operationId", "reason")),
    "envelope.resolved": EventType("Attempt", _ENVELOPE, ("operationId", "reason")),
    "ledger.mismatch": EventType("Operation", ("operationId", "expected", "found"), ("transactionHash",)),
    "signing.refused": EventType("Operation", ("operationId", "intentId", "field", "expected", "found")),
    "webhook_endpoint.created": EventType("WebhookEndpoint", ("endpointId",)),
    "webhook_endpoint.updated": EventType("WebhookEndpoint", ("endpointId",)),
    "webhook_endpoint.secret_rotated": EventType("WebhookEndpoint", ("endpointId",)),
    "webhook_endpoint.redelivery_requested": EventType("WebhookEndpoint", ("endpointId", "deliveryId", "eventId")),
    "webhook_endpoint.disabled": EventType("WebhookEndpoint", ("endpointId", "reason")),
    "webhook_endpoint.deleted": EventType("WebhookEndpoint", ("endpointId",)),
    "audit.head": EventType("Audit", ("sequence", "hash")),
    "maintenance.drain_started": EventType("Maintenance", ("reason", "changedBy")),
    "maintenance.drain_ended": EventType("Maintenance", ("reason", "changedBy")),
    "api_key.created": EventType("ApiKey", ("keyId", "name")),
    "api_key.rotated": EventType("ApiKey", ("keyId", "name", "previousValidUntil")),
    "api_key.revoked": EventType("ApiKey", ("keyId", "name")),
    "api_key.token_created": EventType("ApiKey", ("keyId", "name", "tokenId", "userId", "expiresAt")),
}

BALANCE_SOURCES = (
    *("stellar_deposit", "stellar_deposit_reconciled", "escrow_funding", "escrow_release", "order_reservation", "reservation_canceled"),
    *("escrow_refund", "dispute_resolution", "refund_compensation", "withdrawal", "withdrawal_failed", "manual_credit", "manual_debit"),
)

AMOUNT_FIELDS = frozenset(
    {"amount", "available", "reserved", "sellerAmount", "buyerAmount", "platformFee", "protocolFee"} | {"releaseAmount", "refundAmount"}
)


@dataclass(frozen=True)
class Event:
    """One fact, written in the transaction that makes it true. ``user_ids`` are the users who may see it."""

    type: str
    aggregate_id: str
    payload: Mapping[str, Any]
    user_ids: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        definition = CATALOGUE[self.type]
        missing = [name for name in definition.required if name not in self.payload]
        unknown = self.payload.keys() - set(definition.required) - set(definition.optional)
        if missing or unknown:
            raise ValueError(f"event {self.type}: missing {missing}, unknown {sorted(unknown)}")

    @property
    def aggregate_type(self) -> str:
        return CATALOGUE[self.type].aggregate


def payload_schema(event_type: str) -> dict[str, Any]:
    """The JSON schema of a type's payload."""
    definition = CATALOGUE[event_type]
    names = (*definition.required, *definition.optional)
    return {
        "type": "object",
        "properties": {name: _field_schema(name) for name in names},
        "required": list(definition.required),
        "additionalProperties": False,
    }


def _field_schema(name: str) -> dict[str, Any]:
    if name in AMOUNT_FIELDS:
        return {"type": "string", "pattern": r"^\d+\.\d{2,7}$"}
    return {"type": ["string", "null"]}
