"""What the stack asks of the API once it answers: health with a wallet stock, and a key."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from devstack import server
from devstack.failure import NotReadyError, StackError
from offerhub.settings import Settings


@contextmanager
def answering(answers: dict[str, tuple[int, Any]]) -> Iterator[tuple[str, list[tuple[str, str | None, Any]]]]:
    """An HTTP server with fixed answers by path; yields its address and the requests it got: path, authorization, body."""
    asked: list[tuple[str, str | None, Any]] = []

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            asked.append((self.path, self.headers.get("Authorization"), json.loads(self.rfile.read(length)) if length else None))
            status, body = answers[self.path]
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET  # noqa: N815 the name is http.server's

        def log_message(self, *_arguments: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as listening:
        thread = threading.Thread(target=listening.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.server_port}", asked
        finally:
            listening.shutdown()
            thread.join()


def health(status: int, **parts: str) -> dict[str, tuple[int, Any]]:
    checks = {name: {"status": state} for name, state in parts.items()}
    return {"/health/detailed": (status, {"success": True, "data": {"status": "ok", "checks": checks}})}


def test_ready_is_health_with_wallets_to_give() -> None:
    with answering(health(200, database="ok", walletStock="ok")) as (url, _):
        server.healthy(url)


def test_a_slow_dependency_is_no_reason_to_wait() -> None:
    with answering(health(200, horizon="degraded", walletStock="ok")) as (url, _):
        server.healthy(url)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (health(503, database="ok", redis="down"), "redis down"),
        (health(200, database="ok", walletStock="provisioning"), "walletStock provisioning"),
        (health(200, temporal="down", walletStock="ok"), "temporal down"),
        (health(200, database="ok"), "health answers 200 without a wallet stock"),
        ({"/health/detailed": (500, "oops")}, "health answers 500"),
    ],
)
def test_not_ready_says_what_is_missing(answers: dict[str, tuple[int, Any]], said: str) -> None:
    with answering(answers) as (url, _), pytest.raises(NotReadyError, match=said):
        server.healthy(url)


def test_a_known_key_that_still_works_is_kept() -> None:
    with answering({"/me": (200, {})}) as (url, asked):
        assert server.working_key(url, "master", "ohk_test_1") == "ohk_test_1"
    assert asked == [("/me", "Bearer ohk_test_1", None)]


def test_a_key_the_api_forgot_is_made_again_without_admin() -> None:
    created = {"success": True, "data": {"apiKey": "ohk_test_2"}}
    with answering({"/me": (401, {}), "/auth/api-keys": (201, created)}) as (url, asked):
        assert server.working_key(url, "master", "ohk_test_1") == "ohk_test_2"
    assert asked[1] == ("/auth/api-keys", "Bearer master", {"name": "make up", "scopes": ["read", "write", "support"]})


def test_an_api_that_gives_no_key_ends_the_start() -> None:
    with (
        answering({"/auth/api-keys": (403, {"error": {"code": "INSUFFICIENT_SCOPE"}})}) as (url, _),
        pytest.raises(StackError, match="403"),
    ):
        server.working_key(url, "master", None)


def test_only_the_worker_is_told_the_wallet_key() -> None:
    environment = {"WALLET_ENCRYPTION_KEY": "secret", "DATABASE_URL": "postgresql://"}
    assert "WALLET_ENCRYPTION_KEY" in server.worker(environment).env
    assert server.api(environment, "http://127.0.0.1:1").env.keys() == {"DATABASE_URL", *server.ROOMY_LIMITS}


def test_the_user_may_ask_for_narrower_limits() -> None:
    environment = server.api({"RATE_LIMIT_KEY_PER_MINUTE": "100"}, "http://127.0.0.1:1").env
    assert environment == {**server.ROOMY_LIMITS, "RATE_LIMIT_KEY_PER_MINUTE": "100"}
    assert all(name.lower() in Settings.model_fields for name in server.ROOMY_LIMITS)
