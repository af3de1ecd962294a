"""Read what Horizon says to a submitted envelope. The statuses lie often enough that only a record counts as an outcome."""

from __future__ import annotations

import json
from typing import Any

from offerhub.stellar.horizon_records import MalformedRecord, SubmitAnswer, read_transaction

_OK = 200
_SHOWN_CHARACTERS = 300


def read_submit_answer(status: int, content: bytes) -> SubmitAnswer:
    """Any status with any body, an empty one or a proxy's HTML included."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        return SubmitAnswer(None, status, "unreadable", content[:_SHOWN_CHARACTERS].decode("utf-8", "replace"))
    # The asynchronous endpoint answers with `tx_status`, which is a word about a queue.
    if status == _OK and "tx_status" not in body:
        try:
            return SubmitAnswer(read_transaction(body), status, "applied")
        except MalformedRecord as error:
            return SubmitAnswer(None, status, "unreadable", str(error))
    extras = _object(body.get("extras"))
    codes = _object(extras.get("result_codes"))
    named = [codes.get("transaction"), codes.get("inner_transaction"), *_list(codes.get("operations"))]
    return SubmitAnswer(
        record=None,
        status=status,
        code=_code(body),
        detail=str(body.get("detail") or body.get("title") or "")[:_SHOWN_CHARACTERS],
        result_codes=tuple(code for code in named if isinstance(code, str)),
        result_xdr=_first_text(extras.get("result_xdr"), body.get("error_result_xdr")),
        diagnostic_events=tuple(event for event in _list(extras.get("diagnostic_events")) if isinstance(event, str)),
    )


def _code(body: dict[str, Any]) -> str:
    """The asynchronous endpoint's ``tx_status``, else the last part of the problem's type."""
    status = body.get("tx_status")
    if isinstance(status, str):
        return status
    return str(body.get("type") or "unknown").rsplit("/", 1)[-1][:_SHOWN_CHARACTERS]


def _first_text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str)), None)


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
