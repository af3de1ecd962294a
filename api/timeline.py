"""The timeline of an order: every state change, ledger entry, chain transaction, operation and message in one list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from fastapi import Response

from api.answers import ok
from api.auth import Scope
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One
from api.schemas.timeline import TimelineItem as TimelineShape
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import USDC, format_amount
from offerhub.domain.times import iso
from offerhub.storage import timeline
from offerhub.storage.timeline import TimelineItem

routes = Routes("Orders")
MOST_ITEMS = 500
_GET = Documented("An order's timeline", One[list[TimelineShape]], errors=(ErrorCode.ORDER_NOT_FOUND,))
Row = Mapping[str, Any]


@routes.get("/orders/{order_id}/timeline", Scope.READ, _GET)
async def get_timeline(call: CurrentCall, order_id: str) -> Response:
    """The newest 500 items, oldest of them first. An envelope and an operation stand where they began and say how they ended."""
    async with call.services.database.reading() as reader:
        items = await timeline.of_order(reader, order_id, MOST_ITEMS)
    if not items:
        raise DomainError(ErrorCode.ORDER_NOT_FOUND, f"There is no order {order_id[:64]}.", {"orderId": order_id[:64]})
    return ok([shown(one) for one in items])


def shown(item: TimelineItem) -> dict[str, Any]:
    summary, data = _SHOWN[item.kind](item.data)
    return {"time": iso(item.time), "kind": item.kind, "summary": summary, "data": data}


def _event(row: Row) -> tuple[str, dict[str, Any]]:
    return _words(row["type"]), {"eventId": row["id"], "eventType": row["type"], "payload": row["payload"]}


def _ledger(row: Row) -> tuple[str, dict[str, Any]]:
    entries = [{"account": entry["account"], "amount": format_amount(entry["amount"])} for entry in row["entries"]]
    moved = ", ".join(f"{entry['account']} {'' if entry['amount'].startswith('-') else '+'}{entry['amount']}" for entry in entries)
    posting = {"postingId": f"post_{row['id']}", "kind": row["kind"], "reference": row["reference"]}
    return f"{_words(row['kind'])} ({USDC}): {moved}", {**posting, "transactionHash": row["transaction_hash"], "entries": entries}


def _transaction(row: Row) -> tuple[str, dict[str, Any]]:
    step = row["step"] or {}
    name = row["intent_id"].partition("/")[2] or row["intent_id"]
    ended = f"in ledger {row['ledger']}" if row["ledger"] else row["reason"]
    sentence = f"{_words(name)} by {step.get('party', 'the platform')}: {row['state'].lower()}{f' ({ended})' if ended else ''}"
    return sentence, {
        "attemptId": row["id"],
        "operationId": row["operation_id"],
        "step": name,
        "status": row["state"],
        "sourceAccount": row["source"],
        "sequence": str(row["sequence"]),
        "transactionHash": row["inner_hash"],
        "outerHash": row["outer_hash"],
        "ledger": row["ledger"],
        "code": row["code"],
        "reason": row["reason"],
        "submissions": row["submissions"],
        "updatedAt": iso(datetime.fromisoformat(row["updated_at"])),
    }


def _operation(row: Row) -> tuple[str, dict[str, Any]]:
    finished_at = datetime.fromisoformat(row["finished_at"]) if row["finished_at"] else None
    because = f" ({row['error']['message']})" if row["error"] else ""
    return f"{_words(row['kind'])}: {row['status'].lower()}{because}", {
        "operationId": row["id"],
        "kind": row["kind"],
        "status": row["status"],
        "requestedBy": row["requested_by"],
        "transactionHashes": row["transaction_hashes"],
        "error": row["error"],
        "finishedAt": iso(finished_at),
    }


def _message(row: Row) -> tuple[str, dict[str, Any]]:
    said = {"EVIDENCE": "evidence", "MESSAGE": "message"}[row["kind"]]
    return f"{said} by {row['author']}", {
        "recordId": row["id"],
        "disputeId": row["dispute_id"],
        "kind": row["kind"],
        "author": row["author"],
        "content": row["content"],
        "contentHash": row["content_hash"],
    }


_SHOWN: Mapping[str, Callable[[Row], tuple[str, dict[str, Any]]]] = {
    "event": _event,
    "ledger": _ledger,
    "transaction": _transaction,
    "operation": _operation,
    "message": _message,
}


def _words(name: str) -> str:
    return name.replace(".", " ").replace("_", " ").replace(":", " ")
