"""Asking a service whether it is there. Each function returns, or raises ``NotReadyError`` with what is missing."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from devstack.failure import NotReadyError

TIMEOUT_S = 3.0


def connects(host: str, port: int) -> None:
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except OSError as error:
        raise NotReadyError(f"no answer on {host}:{port} ({error.strerror or error})") from error


def answers_ping(port: int) -> None:
    """Valkey's inline PING; an answer other than PONG is a server still loading its file."""
    try:
        with socket.create_connection(("127.0.0.1", port), TIMEOUT_S) as connection:
            connection.sendall(b"PING\r\n")
            answer = connection.recv(128)
    except OSError as error:
        raise NotReadyError(f"no answer on port {port}") from error
    if not answer.startswith(b"+PONG"):
        raise NotReadyError(f"answers PING with {answer!r}")


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any

    def expect(self, status: int) -> Any:  # noqa: ANN401 JSON
        if self.status != status:
            raise NotReadyError(f"answers {self.status}: {json.dumps(self.body)[:300]}")
        return self.body


def ask(url: str, body: Mapping[str, Any] | None = None, bearer: str | None = None) -> Answer:
    """GET, or POST when there is a body. Only silence raises; judging the answer is the caller's."""
    headers = {"Content-Type": "application/json"}
    if bearer:
        headers["Authorization"] = f"Bearer {bearer}"
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers)  # noqa: S310 our own http addresses
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:  # noqa: S310 the same
            return Answer(response.status, _parse(response.read()))
    except urllib.error.HTTPError as error:
        return Answer(error.code, _parse(error.read()))
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(f"no answer from {url} ({getattr(error, 'reason', error)})") from error


def _parse(text: bytes) -> Any:  # noqa: ANN401 JSON
    try:
        return json.loads(text)
    except ValueError:
        return text.decode(errors="replace")
