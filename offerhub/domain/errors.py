"""Every refusal of the product: a stable code, a retry verdict and one sentence for the caller.

HTTP status codes live in ``api/problems.py``; this module knows only what went wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Retry(StrEnum):
    """What a caller may do with a refusal."""

    NEVER = "never"
    LATER = "later"
    ASK_THE_CHAIN = "ask_the_chain"


class ErrorCode(StrEnum):
    """The codes of ``api.md`` §8."""

    UNAUTHORIZED = "UNAUTHORIZED"
    INVALID_API_KEY = "INVALID_API_KEY"
    INSUFFICIENT_SCOPE = "INSUFFICIENT_SCOPE"
    IP_NOT_ALLOWED = "IP_NOT_ALLOWED"
    BALANCE_CHANGE_NOT_ALLOWED = "BALANCE_CHANGE_NOT_ALLOWED"
    VALIDATION_ERROR = "VALIDATION_ERROR"
    INVALID_AMOUNT_FORMAT = "INVALID_AMOUNT_FORMAT"
    INVALID_CURRENCY = "INVALID_CURRENCY"
    NOT_FOUND = "NOT_FOUND"
    METHOD_NOT_ALLOWED = "METHOD_NOT_ALLOWED"
    PAYLOAD_TOO_LARGE = "PAYLOAD_TOO_LARGE"
    HEADERS_TOO_LARGE = "HEADERS_TOO_LARGE"
    UNSUPPORTED_MEDIA_TYPE = "UNSUPPORTED_MEDIA_TYPE"
    USER_NOT_FOUND = "USER_NOT_FOUND"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    ESCROW_NOT_FOUND = "ESCROW_NOT_FOUND"
    MILESTONE_NOT_FOUND = "MILESTONE_NOT_FOUND"
    OPERATION_NOT_FOUND = "OPERATION_NOT_FOUND"
    DISPUTE_NOT_FOUND = "DISPUTE_NOT_FOUND"
    DEPOSIT_NOT_FOUND = "DEPOSIT_NOT_FOUND"
    WITHDRAWAL_NOT_FOUND = "WITHDRAWAL_NOT_FOUND"
    API_KEY_NOT_FOUND = "API_KEY_NOT_FOUND"
    WEBHOOK_ENDPOINT_NOT_FOUND = "WEBHOOK_ENDPOINT_NOT_FOUND"
    WEBHOOK_DELIVERY_NOT_FOUND = "WEBHOOK_DELIVERY_NOT_FOUND"
    USER_ALREADY_EXISTS = "USER_ALREADY_EXISTS"
    FUNDS_ALREADY_RESERVED = "FUNDS_ALREADY_RESERVED"
    INVALID_STATE = "INVALID_STATE"
    ESCROW_ALREADY_EXISTS = "ESCROW_ALREADY_EXISTS"
    ESCROW_NOT_READY = "ESCROW_NOT_READY"
    ESCROW_ALREADY_FUNDED = "ESCROW_ALREADY_FUNDED"
    DISPUTE_ALREADY_OPEN = "DISPUTE_ALREADY_OPEN"
    IDEMPOTENCY_KEY_REUSED = "IDEMPOTENCY_KEY_REUSED"
    IDEMPOTENCY_KEY_IN_PROGRESS = "IDEMPOTENCY_KEY_IN_PROGRESS"
    INSUFFICIENT_FUNDS = "INSUFFICIENT_FUNDS"
    RESERVE_MISMATCH_AMOUNT = "RESERVE_MISMATCH_AMOUNT"
    ESCROW_INSUFFICIENT_FUNDS = "ESCROW_INSUFFICIENT_FUNDS"
    ESCROW_REJECTED = "ESCROW_REJECTED"
    WITHDRAWAL_DESTINATION_INVALID = "WITHDRAWAL_DESTINATION_INVALID"
    WALLET_NOT_READY = "WALLET_NOT_READY"
    USER_SUSPENDED = "USER_SUSPENDED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    PROVIDER_ERROR = "PROVIDER_ERROR"
    STELLAR_NETWORK_ERROR = "STELLAR_NETWORK_ERROR"
    PROVIDER_UNAVAILABLE = "PROVIDER_UNAVAILABLE"
    PROVIDER_TIMEOUT = "PROVIDER_TIMEOUT"
    MAINTENANCE = "MAINTENANCE"


_RETRY_LATER = frozenset(
    {
        ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS,
        ErrorCode.ESCROW_NOT_READY,
        ErrorCode.WALLET_NOT_READY,
        ErrorCode.RATE_LIMITED,
        ErrorCode.INTERNAL_ERROR,
        ErrorCode.PROVIDER_ERROR,
        ErrorCode.PROVIDER_UNAVAILABLE,
        ErrorCode.MAINTENANCE,
    }
)
_ASK_THE_CHAIN = frozenset({ErrorCode.STELLAR_NETWORK_ERROR, ErrorCode.PROVIDER_TIMEOUT})


class DomainError(Exception):
    """A refusal with a code of ``ErrorCode``, a sentence and details that are safe to show to the caller."""

    def __init__(self, code: ErrorCode, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: dict[str, Any] = dict(details or {})

    @property
    def retry(self) -> Retry:
        if self.code in _RETRY_LATER:
            return Retry.LATER
        return Retry.ASK_THE_CHAIN if self.code in _ASK_THE_CHAIN else Retry.NEVER


class IntentMismatchError(Exception):
    """A transaction offered for signing is not the one our own order calls for. Never signed, never retried.

    ``field`` names the first difference found, ``expected`` and ``found`` are shown to the operator (no secrets).
    """

    def __init__(self, field: str, expected: object, found: object) -> None:
        super().__init__(f"{field}: expected {expected}, found {found}")
        self.field = field
        self.expected = str(expected)
        self.found = str(found)


class LedgerMismatchError(Exception):
    """The chain moved other amounts than were promised. Booked by nobody until a human has looked.

    ``may_be_accepted``: it paid whom it should, all but dust of what it should; a person may have that booked as it is.
    """

    def __init__(self, message: str, *, may_be_accepted: bool = False) -> None:
        super().__init__(message)
        self.may_be_accepted = may_be_accepted


class OutOfTurnError(Exception):
    """Another intent holds the source account now; the envelope prepared for this one is worthless and the step starts over."""
