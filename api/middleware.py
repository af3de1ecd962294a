"""Around every request: its id, the limit of its body, and the last catch for what nobody expected. Pure ASGI."""

from __future__ import annotations

import re

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.strict_json import MAX_BODY_BYTES
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage.unit_of_work import DATABASE_AWAY, new_id
from offerhub.telemetry.logs import get_logger

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_log = get_logger(__name__)


class RequestFrame:
    """Outermost of our layers: whatever happens inside, the answer has ``X-Request-ID`` and the error envelope."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        sent = headers.get("x-request-id", "")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else new_id("req")
        scope["request_id"] = request_id
        started = False

        async def send_framed(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            _check_length(headers)
            await self._app(scope, _limited(receive), send_framed)
        except DomainError as refusal:
            if not started:
                await send_problem(send_framed, refusal, request_id)
        except DATABASE_AWAY as error:
            _log.warning("request.database_away", correlation_id=request_id, method=scope["method"], path=scope["path"], error=repr(error))
            if started:
                raise
            await send_problem(
                send_framed, DomainError(ErrorCode.PROVIDER_UNAVAILABLE, "The database is busy or away; try again."), request_id
            )
        except Exception as error:
            _log.error("request.failed", correlation_id=request_id, method=scope["method"], path=scope["path"], exc_info=error)
            if started:
                raise
            await send_problem(send_framed, DomainError(ErrorCode.INTERNAL_ERROR, "Something failed on our side."), request_id)


async def send_problem(send: Send, refusal: DomainError, request_id: str) -> None:
    body = orjson.dumps(problems.envelope(refusal, request_id))
    headers = {"content-type": "application/json", "content-length": str(len(body)), **problems.headers_of(refusal)}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problems.status_of(refusal.code), "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _check_length(headers: Headers) -> None:
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()


def _limited(receive: Receive) -> Receive:
    """A body without an announced length is counted as it comes."""
    taken = 0

    async def receive_limited() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > MAX_BODY_BYTES:
                raise _too_large()
        return message

    return receive_limited


def _too_large() -> DomainError:
    return DomainError(ErrorCode.PAYLOAD_TOO_LARGE, f"A body may have {MAX_BODY_BYTES} bytes.", {"maxBytes": MAX_BODY_BYTES})
