"""Records as the API shows them: plain dictionaries in the shapes of ``api/schemas``, whose equality with them the tests check."""

from __future__ import annotations

from typing import Any

from offerhub.commands.order_facts import is_unfunded
from offerhub.commands.quotes import Quote, refund_in_full, release_in_full
from offerhub.domain.ids import dispute_workflow_id
from offerhub.domain.money import USDC, format_amount
from offerhub.domain.states import OrderState, WalletState
from offerhub.domain.times import iso
from offerhub.storage.api_keys import ApiKeyRecord
from offerhub.storage.deposits import DepositRecord
from offerhub.storage.disputes import DisputeEntry, DisputeRecord
from offerhub.storage.ledger import UserBalance
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import EscrowRecord, MilestoneRecord, OrderRecord
from offerhub.storage.replay import UserPosting
from offerhub.storage.users import UserRecord
from offerhub.storage.webhooks import DeliveryRecord, EndpointRecord
from offerhub.storage.withdrawals import WithdrawalRecord


def user(record: UserRecord, balance: UserBalance) -> dict[str, Any]:
    return {
        "id": record.id,
        "externalUserId": record.external_user_id,
        "email": record.email,
        "type": record.type,
        "status": record.status,
        "metadata": record.metadata,
        "wallet": wallet(record, balance),
        "balance": figures(balance),
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
    }


def wallet(record: UserRecord, balance: UserBalance) -> dict[str, Any]:
    """A user has one, and we hold its key."""
    return {
        "publicKey": record.public_key,
        "status": record.wallet_state or "PENDING",
        "type": "INVISIBLE",
        "provider": "STELLAR",
        "isActive": record.wallet_state == WalletState.READY,
        "isPrimary": True,
        "balance": {"usdc": format_amount(balance.in_wallet), "xlm": format_amount(record.lumen_stroops)},
        "createdAt": iso(record.wallet_created_at),
    }


def posting(record: UserPosting) -> dict[str, Any]:
    """Without what it changed, which depends on who is asking for what."""
    return {
        "id": f"post_{record.id}",
        "kind": record.kind,
        "reference": record.reference,
        "orderId": record.order_id,
        "clientOrderRef": record.client_order_ref,
        "counterparty": record.counterparty,
        "transactionHash": record.transaction_hash,
        "bookedAt": iso(record.created_at),
    }


def figures(balance: UserBalance) -> dict[str, Any]:
    total = balance.available + balance.reserved + balance.in_escrow + balance.in_transit
    return {
        "available": format_amount(balance.available),
        "reserved": format_amount(balance.reserved),
        "inEscrow": format_amount(balance.in_escrow),
        "inTransit": format_amount(balance.in_transit),
        "total": format_amount(total),
        "currency": USDC,
    }


def balance(user_id: str, record: UserBalance) -> dict[str, Any]:
    return {"userId": user_id, **figures(record), "updatedAt": iso(record.updated_at)}


def order(record: OrderRecord) -> dict[str, Any]:
    released, refunded = release_in_full(record), refund_in_full(record)
    return {
        "id": record.id,
        "clientOrderRef": record.client_order_ref,
        "buyerId": record.buyer_id,
        "sellerId": record.seller_id,
        "amount": format_amount(record.amount),
        "currency": record.currency,
        "title": record.title,
        "description": record.description,
        "status": record.state,
        "finalStatus": record.final_status,
        "platformFeeBps": record.platform_fee_bps,
        "quote": {
            "amount": format_amount(record.amount),
            "protocolFee": format_amount(released.protocol_fee_stroops),
            "platformFee": format_amount(released.platform_fee_stroops),
            "sellerReceives": format_amount(released.seller_stroops),
            "buyerReceivesOnRefund": format_amount(record.amount if record.make_buyer_whole else refunded.buyer_stroops),
        },
        "releaseMode": record.release_mode,
        "autoReleaseAfterSeconds": record.auto_release_after_s,
        "reservationExpiresAfterSeconds": record.reservation_expires_after_s,
        "reservationExpiresAt": iso(record.reservation_expires_at) if is_unfunded(record) else None,
        "autoReleaseAt": iso(record.auto_release_at) if record.state is OrderState.IN_PROGRESS else None,
        "metadata": record.metadata,
        "escrow": escrow(record.escrow) if record.escrow else None,
        "milestones": [milestone(record, one) for one in record.milestones],
        "dispute": dispute(record.dispute) if record.dispute else None,
        "operation": operation(record.operation) if record.operation else None,
        "cancelReason": record.cancel_reason,
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
        "closedAt": iso(record.closed_at),
    }


def milestone(order: OrderRecord, record: MilestoneRecord) -> dict[str, Any]:
    """Under both spellings that clients use."""
    return {
        "id": record.id,
        "orderId": order.id,
        "ref": record.ref,
        "milestoneRef": record.ref,
        "title": record.title,
        "description": record.title,
        "amount": None if record.amount is None else format_amount(record.amount),
        "status": record.state,
        "completedAt": iso(record.completed_at),
        "evidence": record.evidence,
        "payoutTransactionHash": record.payout_hash,
        "createdAt": iso(order.created_at),
        "updatedAt": iso(max(order.updated_at, record.completed_at or order.updated_at)),
    }


def escrow(record: EscrowRecord) -> dict[str, Any]:
    newest_first = (record.release_hash, record.refund_hash, record.dispute_hash, record.fund_hash, record.deploy_hash)
    return {
        "id": record.id,
        "orderId": record.order_id,
        "status": record.state,
        "amount": format_amount(record.amount),
        "currency": USDC,
        "contractId": record.contract_id,
        "deployTransactionHash": record.deploy_hash,
        "fundTransactionHash": record.fund_hash,
        "releaseTransactionHash": record.release_hash,
        "disputeTransactionHash": record.dispute_hash,
        "refundTransactionHash": record.refund_hash,
        "txHash": next((each for each in newest_first if each), None),
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
    }


def dispute(record: DisputeRecord) -> dict[str, Any]:
    """The decision under both spellings that clients use."""
    return {
        "id": record.id,
        "orderId": record.order_id,
        "milestoneRef": record.milestone_ref,
        "status": record.state,
        "openedBy": record.opened_by,
        "reason": record.reason,
        "description": record.description,
        "amount": format_amount(record.amount),
        "assignedTo": record.assigned_to,
        "notes": record.notes,
        "decision": record.decision,
        "resolutionDecision": record.decision,
        "releaseAmount": None if record.release_amount is None else format_amount(record.release_amount),
        "refundAmount": None if record.refund_amount is None else format_amount(record.refund_amount),
        "note": record.resolution_note,
        "decisionNote": record.resolution_note,
        "resolvedBy": record.resolved_by,
        "freezeTransactionHash": record.frozen_hash,
        "resolutionTransactionHash": record.resolution_hash,
        "workflowId": dispute_workflow_id(record.id),
        "escalatesAt": iso(record.escalates_at),
        "escalatedAt": iso(record.escalated_at),
        "decidesAt": iso(record.decides_at),
        "defaultDecision": record.default_decision,
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
        "resolvedAt": iso(record.resolved_at),
    }


def dispute_entry(record: DisputeEntry) -> dict[str, Any]:
    return {
        "id": record.id,
        "kind": record.kind,
        "author": record.author,
        "content": record.content,
        "contentHash": record.content_hash,
        "createdAt": iso(record.created_at),
    }


def quote(record: Quote) -> dict[str, Any]:
    return {
        "action": record.action,
        "currency": USDC,
        "gross": format_amount(record.gross_stroops),
        "platformFee": format_amount(record.platform_fee_stroops),
        "protocolFee": format_amount(record.protocol_fee_stroops),
        "receivers": [
            {"party": share.party, "userId": share.user_id, "account": share.account, "amount": format_amount(share.amount_stroops)}
            for share in record.shares
        ],
        "steps": [{"action": step.action, "signer": step.party, "milestoneIndex": step.milestone_index} for step in record.steps],
        "expectedSeconds": record.expected_seconds,
    }


def operation(record: OperationRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "kind": record.kind,
        "resourceType": record.resource_type,
        "resourceId": record.resource_id,
        "status": record.status,
        "workflowId": record.workflow_id,
        "transactionHashes": record.transaction_hashes,
        "error": record.error,
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
        "finishedAt": iso(record.finished_at),
    }


def withdrawal(record: WithdrawalRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "userId": record.user_id,
        "amount": format_amount(record.amount),
        "currency": record.currency,
        "destinationType": record.destination_type,
        "destinationRef": record.destination,
        "memo": record.memo.value if record.memo else None,
        "memoType": record.memo.type if record.memo else None,
        "description": record.description,
        "status": record.state,
        "operationId": record.operation_id,
        "transactionHash": record.transaction_hash,
        "failure": record.failure,
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
        "finishedAt": iso(record.finished_at),
    }


def deposit(record: DepositRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "userId": record.user_id,
        "status": record.status,
        "reason": record.reason,
        "amount": format_amount(record.amount),
        "asset": record.asset,
        "sender": record.sender,
        "recipient": record.recipient,
        "memo": record.memo,
        "muxedId": record.muxed_id,
        "transactionHash": record.transaction_hash,
        "ledgerClosedAt": iso(record.ledger_closed_at),
        "createdAt": iso(record.created_at),
    }


def api_key(record: ApiKeyRecord, *, live: bool) -> dict[str, Any]:
    return {
        "id": record.id,
        "name": record.name,
        "masked": f"ohk_{'live' if live else 'test'}_{record.id.removeprefix('key_')}_…",
        "scopes": record.scopes,
        "allowedIps": record.allowed_ips,
        "expiresAt": iso(record.expires_at),
        "revokedAt": iso(record.revoked_at),
        "previousValidUntil": iso(record.previous_valid_until),
        "lastUsedAt": iso(record.last_used_at),
        "createdAt": iso(record.created_at),
    }


def webhook_endpoint(record: EndpointRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "url": record.url,
        "description": record.description,
        "eventTypes": record.event_types,
        "enabled": record.enabled,
        "disabledReason": record.disabled_reason,
        "position": record.position,
        "failures": record.failures,
        "failingSince": iso(record.failing_since),
        "nextTryAt": iso(record.next_try_at),
        "previousSecretValidUntil": iso(record.previous_secret_until),
        "createdAt": iso(record.created_at),
        "updatedAt": iso(record.updated_at),
    }


def webhook_delivery(record: DeliveryRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "endpointId": record.endpoint_id,
        "eventId": record.event_id,
        "eventType": record.event_type,
        "trigger": record.trigger,
        "status": record.status,
        "responseStatus": record.response_status,
        "responseBody": record.response_body,
        "error": record.error,
        "durationMs": record.duration_ms,
        "createdAt": iso(record.created_at),
        "finishedAt": iso(record.finished_at),
    }
