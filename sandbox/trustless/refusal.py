"""How the API says no: the bodies and texts of Trustless Work's V1 API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox.contracts.errors import MESSAGES, EscrowError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import ValidationError

    from sandbox.contracts.interface import ContractFailure

SEND_FAILED = "The transaction could not be sent to the Stellar network for some unknown reason. Please try again."
SEND_UNFINISHED = "The transaction may not be complete yet: its resultMetaXdr is not available"
ESCROW_NOT_FOUND = MESSAGES[EscrowError.EscrowNotFound.name]


class Refusal(Exception):
    """An answer other than success, ready to be written."""

    def __init__(self, status: int, body: Mapping[str, object], headers: Mapping[str, str] | None = None) -> None:
        super().__init__(str(body.get("message")))
        self.status = status
        self.body = dict(body)
        self.headers = dict(headers or {})


def bad_request(message: str) -> Refusal:
    return Refusal(400, {"message": message, "error": "Bad Request", "statusCode": 400})


def invalid_fields(error: ValidationError) -> Refusal:
    """Every rejected field by its path in the request."""
    details: dict[str, list[str]] = {}
    for problem in error.errors(include_url=False):
        path = ".".join(str(step) for step in problem["loc"]) or "body"
        details.setdefault(path, []).append(f"{path}: {problem['msg']}")
    messages = [text for texts in details.values() for text in texts]
    return Refusal(400, {"message": messages, "error": "Bad Request", "statusCode": 400, "details": details})


def unauthorized() -> Refusal:
    return Refusal(401, {"statusCode": 401, "message": "Unauthorized", "error": "Unauthorized"})


def too_many_requests(retry_after_s: int) -> Refusal:
    body = {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
    return Refusal(429, body, {"Retry-After": str(retry_after_s)})


def send_failed(message: str) -> Refusal:
    return Refusal(500, {"status": "FAILED", "message": message})


def contract_refusal(failure: ContractFailure) -> Refusal:
    """A contract's refusal met while building, in the words of its source."""
    return bad_request(failure_text(failure.name))


def failure_text(name: str) -> str:
    return MESSAGES.get(name, name)
