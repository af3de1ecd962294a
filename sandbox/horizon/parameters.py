"""Request parameters, with Horizon's defaults and refusals."""

from __future__ import annotations

import re

from starlette.requests import Request
from stellar_sdk import StrKey

from sandbox.horizon.answers import bad_parameter
from sandbox.ledger.history import Collection, PageQuery, Scope

DEFAULT_LIMIT = 10
MAX_LIMIT = 200
_HASH = re.compile(r"[0-9a-f]{64}")


def page_query(request: Request, collection: Collection, scope: Scope, latest_ledger: int) -> PageQuery:
    parameters = request.query_params
    order = parameters.get("order", "asc")
    if order not in ("asc", "desc"):
        raise bad_parameter("order", "order: invalid value")
    limit_text = parameters.get("limit") or str(DEFAULT_LIMIT)
    if not limit_text.isascii() or not limit_text.isdigit() or not 1 <= int(limit_text) <= MAX_LIMIT:
        raise bad_parameter("limit", f"limit: must be between 1 and {MAX_LIMIT}")
    join = parameters.get("join", "")
    if join not in ("", "transactions"):
        raise bad_parameter("join", "Accepted values: transactions")
    return PageQuery(
        collection=collection,
        scope=scope,
        cursor=_cursor(request, latest_ledger),
        descending=order == "desc",
        limit=int(limit_text),
        include_failed=scope.transaction_id is not None or _boolean(request, "include_failed"),
        join_transactions=bool(join) and collection in (Collection.OPERATIONS, Collection.PAYMENTS),
    )


def _cursor(request: Request, latest_ledger: int) -> int | None:
    """``Last-Event-ID`` beats the parameter; ``now`` is the end of the latest ledger."""
    text = request.headers.get("last-event-id") or request.query_params.get("cursor", "")
    if text == "":
        return None
    if text == "now":
        return (latest_ledger + 1 << 32) - 1
    text = text.split("-")[0]
    if not text.isascii() or not text.isdigit() or int(text) >= 2**63:
        raise bad_parameter("cursor", "cursor: invalid value")
    return int(text)


def _boolean(request: Request, name: str) -> bool:
    text = request.query_params.get(name, "false")
    if text not in ("true", "false"):
        raise bad_parameter(name, f"{name}: invalid value")
    return text == "true"


def account_parameter(request: Request) -> str:
    address = str(request.path_params["account_id"])
    if not StrKey.is_valid_ed25519_public_key(address):
        raise bad_parameter("account_id", "Account ID must start with `G` and contain 56 alphanum characters")
    return address


def hash_parameter(request: Request) -> str:
    transaction_hash = str(request.path_params["hash"])
    if _HASH.fullmatch(transaction_hash) is None:
        raise bad_parameter("tx_id", "Transaction hash must be a hex-encoded, lowercase SHA-256 hash")
    return transaction_hash


def base_url(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
