"""HAL and problem+json answers.

As on the real Horizon, answers about the current state (accounts, assets, claimable balances) name in ``Latest-Ledger`` the
ledger they show, a 404 among them too; answers about history do not.
"""

from __future__ import annotations

from typing import Any

import orjson
from starlette.responses import Response

_ERRORS_URL = "https://stellar.org/horizon-errors/"
_TITLES = {
    "not_found": (404, "Resource Missing"),
    "bad_request": (400, "Bad Request"),
    "transaction_malformed": (400, "Transaction Malformed"),
    "transaction_failed": (400, "Transaction Failed"),
    "transaction_submission_timeout": (504, "Transaction Submission Timeout"),
    "unsupported_media_type": (415, "Unsupported Media Type"),
    "payload_too_large": (413, "Payload Too Large"),
    "not_acceptable": (406, "Not Acceptable"),
    "before_history": (410, "Data Requested Is Before Recorded History"),
    "internal_server_error": (500, "Internal Server Error"),
    "rate_limit_exceeded": (429, "Rate Limit Exceeded"),
}


class Problem(Exception):
    """An answer that ends the request with a problem document."""

    def __init__(self, kind: str, detail: str, extras: dict[str, Any] | None = None, latest_ledger: int | None = None) -> None:
        super().__init__(kind)
        self.latest_ledger = latest_ledger
        self.kind = kind
        self.detail = detail
        self.extras = extras

    def response(self) -> Response:
        status, title = _TITLES[self.kind]
        document: dict[str, Any] = {
            "type": f"{_ERRORS_URL}{self.kind}",
            "title": title,
            "status": status,
            "detail": self.detail,
        }
        if self.extras is not None:
            document["extras"] = self.extras
        headers = _named(self.latest_ledger)
        return Response(orjson.dumps(document), status, headers, media_type="application/problem+json; charset=utf-8")


def not_found(latest_ledger: int | None = None) -> Problem:
    return Problem(
        "not_found",
        "The resource at the url requested was not found. This usually occurs for one of two reasons: the url "
        "requested is not valid, or no data in our database could be found with the parameters provided.",
        latest_ledger=latest_ledger,
    )


def bad_parameter(name: str, reason: str) -> Problem:
    return Problem(
        "bad_request",
        "The request you sent was invalid in some way.",
        {"invalid_field": name, "reason": reason},
    )


def hal(document: dict[str, Any], latest_ledger: int | None = None) -> Response:
    """``latest_ledger`` where the answer is about state."""
    return Response(orjson.dumps(document), headers=_named(latest_ledger), media_type="application/hal+json; charset=utf-8")


def _named(latest_ledger: int | None) -> dict[str, str]:
    return {} if latest_ledger is None else {"Latest-Ledger": str(latest_ledger)}
