"""Examples of requests and answers for the OpenAPI document, made from its schemas: one value for each name, all of one small story."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = Mapping[str, Any]


class NoExampleError(LookupError):
    """A field has neither a fixed value nor one here."""


def example(schemas: Json, schema: Json, name: str = "", owner: str = "") -> Any:  # noqa: ANN401 JSON is anything
    """What ``schema`` may look like; ``name`` is that of the field in the object ``owner``. Raises ``NoExampleError``."""
    if "$ref" in schema:
        target = str(schema["$ref"]).rsplit("/", 1)[1]
        found = schemas[target]
        return example(schemas, found, name, owner) if "enum" in found else example(schemas, found, owner=target)
    for key in (f"{owner}.{name}", f"{_KIN.get(owner, owner)}.{name}"):
        if key in _OF_ONE:
            return _OF_ONE[key]
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return None if name in _USUALLY_NULL and {"type": "null"} in branches else example(schemas, branches[0], name, owner)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    return _made(schemas, schema, name, owner)


def _made(schemas: Json, schema: Json, name: str, owner: str) -> Any:  # noqa: ANN401 JSON is anything
    kind = schema.get("type")
    if kind == "object" and "properties" in schema:
        return {field: example(schemas, part, field, owner) for field, part in schema["properties"].items()}
    if name in _BY_NAME and "$ref" not in schema.get("items", {}):
        value = _BY_NAME[name]
        return [value] if kind == "array" and not isinstance(value, list) else value
    if schema.get("examples"):
        return schema["examples"][0]
    if kind == "array":
        return [example(schemas, schema["items"], name, owner)]
    if kind == "string" and (found := _by_ending(name)) is not None:
        return found
    if kind == "boolean" or "default" in schema:
        return schema.get("default", False)
    raise NoExampleError(f"{owner}.{name} has no example: give it one in api/examples.py")


def _by_ending(name: str) -> str | None:
    return next((value for ending, value in _BY_ENDING.items() if name.lower().endswith(ending)), None)


def _id(prefix: str) -> str:
    return f"{prefix}_01kg9q1m2n3p4q5r6s7t8v9w0x"


_HASH = "3389e9f0f1a65f19736cacf544c2e825313e8447f569233bb8db39aa607c8889"
_ADDRESS = "GBVFKZOWX6SAIC7HRJMSRAWV37HUBYZAFL5YKMMS3KDKMSAMIDFNQU7F"
_CONTRACT = "CCIEYSBDVTF3BD37NL77MKK24S2A5XZRZ4GHUPNTTEUVOFYG3RUV4RHE"
# Objects that are another with something more.
_KIN = {
    "OrderWithTimeline": "Order",
    "BareWithdrawal": "Withdrawal",
    "WithdrawalWithOperation": "Withdrawal",
    "NewWebhookEndpoint": "WebhookEndpoint",
    "NewApiKey": "ApiKey",
    "DisputeWithRecords": "Dispute",
    "ReconciliationRunWithFindings": "ReconciliationRun",
    "BareBalanceSync": "BalanceSync",
}
# What is null when all goes its ordinary way, wherever it may be.
_USUALLY_NULL = frozenset(
    {
        *("error", "failure", "disabledReason", "failingSince", "nextTryAt", "revokedAt", "previousValidUntil", "previousSecretValidUntil"),
        *(
            "finalStatus",
            "cancelReason",
            "closedAt",
            "releaseTransactionHash",
            "disputeTransactionHash",
            "refundTransactionHash",
            "dispute",
        ),
        *("operation", "reservationExpiresAt", "decision", "decisionNote", "note", "resolvedBy", "resolutionTransactionHash", "resolvedAt"),
        *("escalatedAt", "decidesAt", "defaultDecision", "payoutTransactionHash", "muxedId", "tokenId", "at", "explanation", "message"),
        *("releaseAmount", "refundAmount", "milestoneIndex", "txHash", "resolutionDecision"),
    }
)
_OF_ONE: Json = {
    "Order.id": _id("ord"),
    "Order.status": "IN_PROGRESS",
    "Escrow.id": _id("esc"),
    "Escrow.status": "FUNDED",
    "Milestone.id": _id("mst"),
    "User.id": _id("usr"),
    "UserWallet.status": "READY",
    "Wallet.status": "READY",
    "Dispute.id": _id("dsp"),
    "Dispute.reason": "NOT_DELIVERED",
    "OpenDisputeBody.description": "Nothing has arrived.",
    "OpenDisputeBody.milestoneRef": None,
    "RefundBody.milestoneRef": None,
    "Dispute.milestoneRef": None,
    "Dispute.description": "Nothing has arrived.",
    "DisputeRecordEntry.id": _id("dsr"),
    "Operation.id": _id("op"),
    "Operation.kind": "escrow_funding",
    "Operation.status": "SUCCEEDED",
    "Operation.workflowId": f"escrow/{_id('esc')}",
    "Deposit.id": _id("dep"),
    "Deposit.reason": None,
    "Deposit.memo": None,
    "Deposit.asset": "USDC",
    "Withdrawal.id": _id("wd"),
    "Withdrawal.status": "WITHDRAWAL_COMPLETED",
    "WalletTransaction.id": "post_4711",
    "WalletTransaction.amount": "-80.00",
    "ExplainedEntry.id": "post_4711",
    "ExplainedEntry.amount": "80.00",
    "StatementEntry.id": "post_4711",
    "ApiKey.id": _id("key"),
    "Me.id": _id("key"),
    "Me.userId": None,
    "NewToken.id": _id("tok"),
    "NewToken.userId": None,
    "CreateTokenBody.scopes": ["read"],
    "AuditLogEntry.id": _id("aud"),
    "AuditLogEntry.action": "user.updated",
    "AuditLogEntry.resourceType": "user",
    "AuditLogEntry.resourceId": _id("usr"),
    "WebhookEndpoint.id": _id("whe"),
    "WebhookEndpoint.enabled": True,
    "UpdateWebhookEndpointBody.enabled": True,
    "WebhookDelivery.id": _id("whd"),
    "WebhookDelivery.status": "SUCCEEDED",
    "ReconciliationRun.id": _id("rec"),
    "ReconciliationRun.status": "COMPLETED",
    "ReconciliationRun.figures": {"wallets": {"checked": 120, "inMotion": 2, "notChecked": 0}},
    "ReconciliationFinding.id": _id("fnd"),
    "ReconciliationFinding.kind": "MISSED_DEPOSIT",
    "ReconciliationFinding.resourceType": "wallet",
    "ReconciliationFinding.expected": "100.00",
    "ReconciliationFinding.found": "120.00",
    "Adjustment.id": _id("adj"),
    "DryRunQuote.action": "release",
    "QuoteStep.action": "release",
    "QuoteShare.party": "seller",
    "QuoteShare.amount": "79.76",
    "CreateOrderBody.checkout": None,
    "ChangeUserBody.status": "ACTIVE",
    "BalanceSync.findings": [],
    "BalanceSync.creditedDepositIds": [],
    "DepositAddress.memo": None,
    "CreateWithdrawalBody.description": "January",
    "Withdrawal.description": "January",
    "CreateWebhookEndpointBody.description": "shop backend",
    "UpdateWebhookEndpointBody.description": "shop backend",
    "WebhookEndpoint.description": "shop backend",
    "Statement.from": "2026-01-01T00:00:00.000Z",
    "Statement.to": "2026-02-01T00:00:00.000Z",
    "TimelineItem.summary": "order in progress",
    "TimelineItem.data": {"eventId": _id("evt"), "eventType": "order.in_progress", "payload": {}},
    "Event.eventId": _id("evt"),
    "Event.eventType": "order.funds_reserved",
    "Event.aggregateType": "Order",
    "Event.payload": {
        "orderId": _id("ord"),
        "status": "FUNDS_RESERVED",
        "buyerId": _id("usr"),
        "sellerId": "usr_01kg9q0a1b2c3d4e5f6g7h8j9k",
        "amount": "80.00",
    },
    "Event.metadata": {
        "correlationId": _id("req"),
        "causationId": None,
        "userId": _id("usr"),
        "operationId": None,
        "workflowId": None,
    },
}
_BY_NAME: Json = {
    "amount": "80.00",
    "gross": "80.00",
    "protocolFee": "0.24",
    "platformFee": "0.00",
    "sellerReceives": "79.76",
    "buyerReceivesOnRefund": "79.76",
    "available": "20.00",
    "reserved": "0.00",
    "inEscrow": "80.00",
    "inTransit": "0.00",
    "total": "100.00",
    "onChain": "20.00",
    "booked": "20.00",
    "difference": "0.00",
    "usdc": "20.00",
    "xlm": "0.00",
    "minWithdrawal": "0.01",
    "sellerId": "usr_01kg9q0a1b2c3d4e5f6g7h8j9k",
    "externalUserId": "ada",
    "email": "ada@shop.example",
    "metadata": {"cart": "4711"},
    "title": "A logo",
    "description": "Three drafts",
    "ref": "draft",
    "milestoneRef": "draft",
    "clientOrderRef": "order-4711",
    "autoReleaseAfterSeconds": 259_200,
    "reservationExpiresAfterSeconds": 86_400,
    "extendBySeconds": 86_400,
    "overlapSeconds": 3_600,
    "reason": "agreed with the buyer",
    "canceledBy": "buyer",
    "requestedBy": "buyer",
    "author": "support",
    "text": "See the photo.",
    "note": "half was delivered",
    "notes": "asked both sides",
    "assignedTo": "agent-7",
    "evidence": "https://shop.example/files/1",
    "content": {"text": "See the photo."},
    "before": {"status": "ACTIVE"},
    "after": {"status": "SUSPENDED"},
    "details": {},
    "destinationRef": _ADDRESS,
    "memo": "4711",
    "address": _ADDRESS,
    "publicKey": _ADDRESS,
    "sender": _ADDRESS,
    "recipient": _ADDRESS,
    "counterparty": _ADDRESS,
    "from": _ADDRESS,
    "to": _ADDRESS,
    "issuer": _ADDRESS,
    "contractId": _CONTRACT,
    "signer": "buyer",
    "asset": "USDC",
    "code": "USDC",
    "network": "testnet",
    "networkPassphrase": "Test SDF Network ; September 2015",
    "uri": f"web+stellar:pay?destination={_ADDRESS}&asset_code=USDC",
    "instructions": f"Send USDC on Stellar to {_ADDRESS}.",
    "name": "shop backend",
    "masked": f"ohk_test_{_id('x')[2:]}_…",
    "scopes": ["read", "write"],
    "allowedIps": ["203.0.113.0/24"],
    "apiKey": f"ohk_test_{_id('x')[2:]}_{_HASH}",
    "token": f"ohk_tok_{_id('x')[2:]}_{_HASH}",
    "ttlSeconds": 900,
    "marketplaceId": "default",
    "url": "https://shop.example/webhooks",
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "eventTypes": ["order.*"],
    "eventType": "order.funds_reserved",
    "position": 4711,
    "sequence": 4711,
    "failures": 0,
    "responseStatus": 200,
    "responseBody": "ok",
    "durationMs": 41,
    "kind": "fund",
    "type": "fund",
    "reference": _id("esc"),
    "resourceType": "order",
    "workflowId": f"order/{_id('ord')}",
    "explanation": "a payment that the books have missed",
    "findingCount": 0,
    "latencyMs": 3,
    "ready": 18,
    "waitingUsers": 0,
    "expectedSeconds": 6,
    "earlierEntries": 0,
    "changedBy": _id("key"),
    "earlierAmount": "0.00",
    "version": "0.1.0",
    "features": ["single_release_escrow"],
    "platformFeeBps": 0,
    "protocolFeeBps": 30,
    "maxBodyBytes": 262_144,
    "maxBodyDepth": 12,
    "maxHeadBytes": 32_768,
    "maxPageSize": 100,
    "maxWaitSeconds": 55,
    "maxMilestones": 50,
    "maxMetadataKeys": 50,
    "maxMetadataCharacters": 500,
    "maxTokenSeconds": 86_400,
    "keyPerMinute": 100,
    "addressPerMinute": 100,
    "streamsPerMinute": 100,
    "withdrawalsPerUserPerMinute": 5,
    "nextCursor": None,
    "isActive": True,
    "isPrimary": True,
    "expiresAt": "2027-01-31T12:00:00.000Z",
    "successful": True,
}
_BY_ENDING: Mapping[str, str] = {
    "orderid": _id("ord"),
    "escrowid": _id("esc"),
    "disputeid": _id("dsp"),
    "operationid": _id("op"),
    "endpointid": _id("whe"),
    "eventid": _id("evt"),
    "keyid": _id("key"),
    "actorid": _id("key"),
    "runid": _id("rec"),
    "correlationid": _id("req"),
    "requestid": _id("req"),
    "depositids": _id("dep"),
    "aggregateid": _id("ord"),
    "resourceid": _id("ord"),
    "tokenid": _id("tok"),
    "buyerid": _id("usr"),
    "userid": _id("usr"),
    "userids": _id("usr"),
    "hash": _HASH,
    "hashes": _HASH,
    "sha256": _HASH,
}
