"""POST /transactions and POST /transactions_async."""

from __future__ import annotations

import asyncio
from email.parser import BytesParser
from typing import Any
from urllib.parse import parse_qs

import orjson
from starlette.requests import Request
from starlette.responses import Response
from stellar_sdk import xdr

from sandbox.horizon.answers import Problem, hal
from sandbox.horizon.parameters import base_url
from sandbox.horizon.replica import Ingestion, Replica, caught_up
from sandbox.horizon.resources import transaction_resource
from sandbox.ledger.chain import SubmissionStatus
from sandbox.ledger.envelope import Envelope, MalformedEnvelope
from sandbox.ledger.ledger import SUBMISSION_TIMEOUT_S, Ledger
from sandbox.ledger.results import TransactionOutcome
from sandbox.ledger.store import StoredTransaction

MAX_BODY_BYTES = 200 * 1024
_STATUS_CODES = {
    SubmissionStatus.PENDING: 201,
    SubmissionStatus.DUPLICATE: 409,
    SubmissionStatus.TRY_AGAIN_LATER: 503,
    SubmissionStatus.ERROR: 400,
}


async def submit_and_wait(ledger: Ledger, ingestion: Ingestion, request: Request) -> Response:
    """Known hashes are answered from history without asking the ledger, so re-posting is idempotent.

    A wrong sequence number may be a transaction already applied that Horizon has not seen yet: it looks again once it has caught up.
    """
    envelope = await submitted_envelope(ledger, request)
    transaction_hash = envelope.hash.hex()
    found = Replica(ledger, ingestion.ingested()).find(transaction_hash)
    if found is None:
        try:
            async with asyncio.timeout(SUBMISSION_TIMEOUT_S):
                found = await _submit(ledger, ingestion, envelope)
        except TimeoutError:
            raise timed_out(envelope) from None
    if not found.successful:
        raise _failed(found)
    return hal(transaction_resource(found, transaction_hash, base_url(request)))


async def _submit(ledger: Ledger, ingestion: Ingestion, envelope: Envelope) -> StoredTransaction:
    submission = ledger.enqueue(envelope)
    if submission.outcome is None:
        found = await ledger.applied(submission.hash)
        await caught_up(ledger, ingestion, found.id >> 32)
        return found
    if submission.outcome.code == xdr.TransactionResultCode.txBAD_SEQ:
        await caught_up(ledger, ingestion, ledger.latest_ledger)
        known = ledger.find(submission.hash)
        if known is not None:
            return known
    raise _refused(envelope, submission.outcome)


async def submit_async(ledger: Ledger, request: Request) -> Response:
    """Core's own answer; history is not asked."""
    submission = ledger.enqueue(await submitted_envelope(ledger, request))
    document: dict[str, Any] = {"tx_status": submission.status.value, "hash": submission.hash}
    if submission.outcome is not None:
        document["error_result_xdr"] = submission.outcome.result_xdr()
    return Response(
        orjson.dumps(document),
        _STATUS_CODES[submission.status],
        media_type="application/json; charset=utf-8",
    )


async def _envelope_parameter(request: Request) -> str:
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip()
    if media_type not in ("application/x-www-form-urlencoded", "multipart/form-data"):
        raise Problem("unsupported_media_type", "The request has an unsupported content type.")
    body = await request.body()
    if len(body) > MAX_BODY_BYTES:
        raise Problem("payload_too_large", f"The request body exceeds {MAX_BODY_BYTES} bytes.")
    if media_type == "multipart/form-data":
        return _multipart_field(content_type, body, "tx")
    return parse_qs(body.decode("latin-1")).get("tx", [""])[0]


def _multipart_field(content_type: str, body: bytes, name: str) -> str:
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    for part in message.walk():
        if part.get_param("name", header="content-disposition") == name:
            content = part.get_payload(decode=True)
            return content.decode("latin-1").strip() if isinstance(content, bytes) else ""
    return ""


async def submitted_envelope(ledger: Ledger, request: Request) -> Envelope:
    envelope_xdr = await _envelope_parameter(request)
    try:
        return ledger.decode(envelope_xdr)
    except MalformedEnvelope as error:
        raise _malformed(envelope_xdr) from error


def _malformed(envelope_xdr: str) -> Problem:
    return Problem(
        "transaction_malformed",
        "Horizon could not decode the transaction envelope in this request. A transaction should be an XDR "
        "TransactionEnvelope struct encoded using base64. The envelope read from this request is echoed in the "
        "`extras.envelope_xdr` field of this response for your convenience.",
        {"envelope_xdr": envelope_xdr},
    )


_FAILED_DETAIL = (
    "The transaction failed when submitted to the stellar network. The `extras.result_codes` field on this response "
    "contains further details."
)


def _refused(envelope: Envelope, outcome: TransactionOutcome) -> Problem:
    extras = {
        "envelope_xdr": envelope.envelope_xdr,
        "result_codes": outcome.result_codes(),
        "result_xdr": outcome.result_xdr(),
    }
    return Problem("transaction_failed", _FAILED_DETAIL, extras)


def _failed(found: StoredTransaction) -> Problem:
    extras = {
        "envelope_xdr": found.document["envelope_xdr"],
        "result_codes": found.outcome["result_codes"],
        "result_xdr": found.document["result_xdr"],
    }
    if found.outcome["diagnostic_events"]:
        extras["diagnostic_events"] = found.outcome["diagnostic_events"]
    return Problem("transaction_failed", _FAILED_DETAIL, extras)


def timed_out(envelope: Envelope) -> Problem:
    return Problem(
        "transaction_submission_timeout",
        "Your transaction submission request has timed out. This does not necessarily mean the submission has failed. "
        "Before resubmitting, please use the transaction hash provided in `extras.hash` to poll the GET /transactions "
        "endpoint for sometime and check if it was included in a ledger.",
        {"hash": envelope.hash.hex(), "envelope_xdr": envelope.envelope_xdr},
    )
