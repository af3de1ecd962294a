"""What reaches us before it is a request: a head without end and bytes that are no HTTP get the error envelope too."""

from __future__ import annotations

import orjson
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from api import problems
from api.middleware import MAX_HEAD_BYTES, head_too_large
from offerhub.domain.errors import DomainError
from offerhub.storage.unit_of_work import new_id


class BoundedHead(HttpToolsProtocol):
    """uvicorn collects a request's head in memory, however long it gets; here a head that does not end is cut off.

    One that ends is judged by ``RequestFrame``, which knows the request's id.
    """

    _in_head = False
    _head_bytes = 0

    def data_received(self, data: bytes) -> None:
        began_in_head = self._in_head
        super().data_received(data)
        if began_in_head and self._in_head and not self.transport.is_closing():
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(head_too_large())

    def on_message_begin(self) -> None:
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self.transport.is_closing():
            self._refuse(problems.invalid([("", msg)]))

    def _refuse(self, refusal: DomainError) -> None:
        request_id = new_id("req")
        body = orjson.dumps(problems.envelope(refusal, request_id))
        headers = {"content-type": "application/json", "content-length": str(len(body)), "x-request-id": request_id, "connection": "close"}
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(STATUS_LINE[problems.status_of(refusal.code)] + lines.encode() + b"\r\n" + body)
        self.transport.close()
