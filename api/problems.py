"""How a refusal leaves the API: the one table of codes and statuses, and the envelope every error comes in (``api.md`` §8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from offerhub.domain.errors import DomainError, ErrorCode, Retry

DOCS_PATH = "/docs/errors"
_C = ErrorCode
_CODES_BY_STATUS: Mapping[int, tuple[ErrorCode, ...]] = {
    400: (_C.VALIDATION_ERROR, _C.INVALID_AMOUNT_FORMAT, _C.INVALID_CURRENCY),
    401: (_C.UNAUTHORIZED, _C.INVALID_API_KEY),
    403: (_C.INSUFFICIENT_SCOPE, _C.IP_NOT_ALLOWED, _C.BALANCE_CHANGE_NOT_ALLOWED),
    404: (
        *(_C.NOT_FOUND, _C.USER_NOT_FOUND, _C.ORDER_NOT_FOUND, _C.ESCROW_NOT_FOUND, _C.MILESTONE_NOT_FOUND),
        *(_C.OPERATION_NOT_FOUND, _C.DEPOSIT_NOT_FOUND, _C.WITHDRAWAL_NOT_FOUND, _C.API_KEY_NOT_FOUND),
        _C.DISPUTE_NOT_FOUND,
        *(_C.WEBHOOK_ENDPOINT_NOT_FOUND, _C.WEBHOOK_DELIVERY_NOT_FOUND),
    ),
    405: (_C.METHOD_NOT_ALLOWED,),
    409: (
        *(_C.USER_ALREADY_EXISTS, _C.FUNDS_ALREADY_RESERVED, _C.INVALID_STATE, _C.ESCROW_ALREADY_EXISTS, _C.ESCROW_NOT_READY),
        *(_C.ESCROW_ALREADY_FUNDED, _C.DISPUTE_ALREADY_OPEN, _C.IDEMPOTENCY_KEY_REUSED, _C.IDEMPOTENCY_KEY_IN_PROGRESS),
    ),
    413: (_C.PAYLOAD_TOO_LARGE,),
    415: (_C.UNSUPPORTED_MEDIA_TYPE,),
    422: (
        *(_C.INSUFFICIENT_FUNDS, _C.ESCROW_INSUFFICIENT_FUNDS, _C.ESCROW_REJECTED, _C.WALLET_NOT_READY, _C.USER_SUSPENDED),
        *(_C.WITHDRAWAL_DESTINATION_INVALID, _C.LIMIT_EXCEEDED, _C.RESERVE_MISMATCH_AMOUNT),
    ),
    429: (_C.RATE_LIMITED,),
    431: (_C.HEADERS_TOO_LARGE,),
    500: (_C.INTERNAL_ERROR,),
    502: (_C.PROVIDER_ERROR, _C.STELLAR_NETWORK_ERROR),
    503: (_C.PROVIDER_UNAVAILABLE, _C.MAINTENANCE),
    504: (_C.PROVIDER_TIMEOUT,),
}


@dataclass(frozen=True)
class Problem:
    """What a code means over HTTP. ``docs`` is an address below the API's own origin."""

    status: int
    retry: Retry
    docs: str


PROBLEMS: Mapping[ErrorCode, Problem] = {
    code: Problem(status, DomainError(code, "").retry, f"{DOCS_PATH}#{code}")
    for status, codes in _CODES_BY_STATUS.items()
    for code in codes
}
_ADVICE = {
    Retry.NEVER: "Repeating the same request gives the same answer; change it, or the state it is about.",
    Retry.LATER: "Repeat the same request, with the same idempotency key, after a pause.",
    Retry.ASK_THE_CHAIN: "The outcome is open; follow the operation before repeating anything.",
}
_ADVICE_ON_OUTCOMES = (
    "The code of an operation that has failed says why. Such an outcome is final, and its idempotency key repeats it whatever the code: "
    "remove the cause, then call again with a new Idempotency-Key."
)
RETRY_AFTER_S = 5


def status_of(code: ErrorCode) -> int:
    return PROBLEMS[code].status


def envelope(error: DomainError, request_id: str) -> dict[str, Any]:
    return {
        "error": {
            "code": error.code.value,
            "message": error.message,
            "details": error.details,
            "requestId": request_id,
            "docs": PROBLEMS[error.code].docs,
        }
    }


def headers_of(error: DomainError) -> dict[str, str]:
    """What a status calls for besides the body."""
    status = status_of(error.code)
    if status in (429, 503):
        return {"Retry-After": str(error.details.get("retryAfterSeconds", RETRY_AFTER_S))}
    return {"WWW-Authenticate": "Bearer"} if status == 401 else {}


def of_operation(operation_id: str, error: Mapping[str, Any]) -> DomainError:
    """The refusal that ended an operation, as recorded on it."""
    known = error.get("code") in PROBLEMS
    code = ErrorCode(error["code"]) if known else ErrorCode.INTERNAL_ERROR
    details = {**(error.get("details") or {}), "operationId": operation_id}
    return DomainError(code, str(error.get("message") or "The operation failed."), details)


def invalid(fields: Sequence[tuple[str, str]], code: ErrorCode = ErrorCode.VALIDATION_ERROR) -> DomainError:
    """A request that cannot be understood, naming each (field, message)."""
    listed = [{"field": name, "message": message} for name, message in fields]
    message = "; ".join(f"{entry['field']}: {entry['message']}" if entry["field"] else entry["message"] for entry in listed[:3])
    return DomainError(code, message or "The request is not valid.", {"fields": listed})


def of_validation(errors: Sequence[Mapping[str, Any]]) -> DomainError:
    """Pydantic's findings. One that has a code of its own (an amount, a currency) gives it to the whole answer."""
    own = [error["type"] for error in errors if error["type"] in PROBLEMS]
    fields = [(".".join(str(part) for part in error["loc"][1:]), str(error["msg"]).removeprefix("Value error, ")) for error in errors]
    return invalid(fields, ErrorCode(own[0]) if own else ErrorCode.VALIDATION_ERROR)


def of_status(status: int, detail: str) -> DomainError:
    """What the framework itself refuses: an unknown path, a wrong method."""
    codes = _CODES_BY_STATUS.get(status, (ErrorCode.VALIDATION_ERROR if status < 500 else ErrorCode.INTERNAL_ERROR,))
    return DomainError(codes[0], detail)


def page() -> str:
    """The table for people, at ``DOCS_PATH``; the ``docs`` field of every error points into it."""
    rows = "".join(
        f'<tr id="{code}"><td><code>{code}</code></td><td>{problem.status}</td><td>{escape(_ADVICE[problem.retry])}</td></tr>'
        for code, problem in PROBLEMS.items()
    )
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>Error codes</title><h1>Error codes</h1>'
    head += f"<p>{escape(_ADVICE_ON_OUTCOMES)}</p>"
    return f"{head}<table><tr><th>Code</th><th>Status</th><th>Retry</th></tr>{rows}</table></html>"
