"""Around every request: its id, the limits of its size, and the last catch for what nobody expected. Pure ASGI."""

from __future__ import annotations

import re

import orjson
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.strict_json import MAX_BODY_BYTES
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage.unit_of_work import DATABASE_AWAY, new_id
from offerhub.telemetry.logs import get_logger

MAX_HEAD_BYTES = 32 * 1024
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
        scope["request_id"] = sent if _REQUEST_ID.fullmatch(sent) else new_id("req")
        framed = _Framed(scope, send)
        try:
            _check_size(scope, headers)
            await self._app(scope, _limited(receive), framed)
        except ClientDisconnect:
            # Nobody is there to be answered, and nothing of ours failed.
            return
        except Exception as error:
            refusal = _refusal(error, scope)
            if framed.started and not isinstance(error, DomainError):
                raise
            if not framed.started:
                await send_problem(framed, refusal, scope["request_id"])


class _Framed:
    """The way out: adds the headers that every answer has, and remembers that one began."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self.started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = self._scope["request_id"]
            if "quota" in self._scope:
                headers.update(self._scope["quota"].headers())
        await self._send(message)


def _refusal(error: Exception, scope: Scope) -> DomainError:
    """What the caller is told of an error; whatever is not meant for him goes to the log."""
    if isinstance(error, DomainError):
        return error
    facts = {"correlation_id": scope["request_id"], "method": scope["method"], "path": scope["path"]}
    if isinstance(error, DATABASE_AWAY):
        _log.warning("request.database_away", **facts, error=repr(error))
        return DomainError(ErrorCode.PROVIDER_UNAVAILABLE, "The database is busy or away; try again.")
    _log.error("request.failed", **facts, exc_info=error)
    return DomainError(ErrorCode.INTERNAL_ERROR, "Something failed on our side.")


async def send_problem(send: Send, refusal: DomainError, request_id: str) -> None:
    body = orjson.dumps(problems.envelope(refusal, request_id))
    headers = {"content-type": "application/json", "content-length": str(len(body)), **problems.headers_of(refusal)}
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": problems.status_of(refusal.code), "headers": raw})
    await send({"type": "http.response.body", "body": body})


def _check_size(scope: Scope, headers: Headers) -> None:
    if (
        len(scope["raw_path"]) + len(scope["query_string"]) + sum(len(name) + len(value) for name, value in scope["headers"])
        > MAX_HEAD_BYTES
    ):
        raise head_too_large()
    announced = headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise _too_large()


def head_too_large() -> DomainError:
    message = f"Address and headers may have {MAX_HEAD_BYTES} bytes together."
    return DomainError(ErrorCode.HEADERS_TOO_LARGE, message, {"maxBytes": MAX_HEAD_BYTES})


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
