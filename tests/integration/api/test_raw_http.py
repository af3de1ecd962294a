"""Bytes that no HTTP library would send: every answer is still the error envelope with a request id, and the server lives on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import orjson
import pytest

from api.middleware import MAX_HEAD_BYTES
from api.strict_json import MAX_BODY_BYTES, MAX_CHARACTERS, MAX_DEPTH, MAX_MEMBERS
from tests.integration.api.conftest import Api
from tests.integration.api.test_wire import JSON, fields, refused

pytestmark = pytest.mark.slow

LIMIT_S = 60


@dataclass
class Raw:
    """One connection."""

    api: Api
    key: str = ""
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)

    async def open(self) -> Raw:
        parts = urlsplit(self.api.url)
        self.reader, self.writer = await asyncio.open_connection(parts.hostname, parts.port)
        self.key = self.api.client.headers["authorization"]
        return self

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], Any]:
        async with asyncio.timeout(LIMIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            status, *lines = head.strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            body = await self.reader.readexactly(int(headers["content-length"]))
        return int(status.split()[1]), headers, orjson.loads(body)

    async def refusal(self, status: int, code: str) -> dict[str, Any]:
        answered, headers, body = await self.answer()
        assert answered == status, body
        assert headers["content-type"] == "application/json"
        assert body.keys() == {"error"}
        error: dict[str, Any] = body["error"]
        assert error.keys() == {"code", "message", "details", "requestId", "docs"}
        assert error["code"] == code
        assert error["requestId"] == headers["x-request-id"]
        return error

    async def is_closed(self) -> bool:
        async with asyncio.timeout(LIMIT_S):
            return await self.reader.read() == b""


@pytest.fixture
async def raw(api: Api) -> AsyncIterator[Raw]:
    connection = await Raw(api).open()
    yield connection
    connection.writer.close()
    assert (await api.client.get("/me")).status_code == 200, "the server lives on"


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW /api/v1/me HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nBroken header\r\n\r\n",
        b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n",
        b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
        b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_is_no_http(raw: Raw, sent: bytes) -> None:
    raw.send(sent)
    await raw.refusal(400, "VALIDATION_ERROR")
    assert await raw.is_closed()


async def test_headers_larger_than_allowed(raw: Raw) -> None:
    raw.send(b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\nX-Big: " + b"a" * 40_000 + b"\r\n\r\n")
    error = await raw.refusal(431, "HEADERS_TOO_LARGE")
    assert error["details"] == {"maxBytes": MAX_HEAD_BYTES}


async def test_many_headers_and_a_long_address(raw: Raw) -> None:
    raw.send(b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\n" + b"".join(b"X-%d: a\r\n" % number for number in range(6_000)) + b"\r\n")
    await raw.refusal(431, "HEADERS_TOO_LARGE")
    raw.send(b"GET /api/v1/me?" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    await raw.refusal(431, "HEADERS_TOO_LARGE")


@pytest.mark.parametrize("begin", [b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-Big: ", b"GET /", b"GET /api/v1/me HTTP/1.1\r\nHost: x\r\nX-"])
async def test_a_head_without_end_is_cut_off(raw: Raw, begin: bytes) -> None:
    raw.send(begin)
    for _ in range(4):
        # Not faster than it is read, or the end of the connection overtakes the answer.
        await asyncio.sleep(0.02)
        raw.send(b"a" * (MAX_HEAD_BYTES // 4))
    raw.send(b"a")
    await raw.refusal(431, "HEADERS_TOO_LARGE")
    assert await raw.is_closed()


async def test_large_bodies_on_a_kept_connection_are_no_large_heads(raw: Raw) -> None:
    body = orjson.dumps({"externalUserId": "u"}) + b" " * 200_000
    for _ in range(3):
        raw.send(
            b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: "
            + raw.key.encode()
            + b"\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            + body
        )
        assert (await raw.answer())[0] in {201, 409}


async def test_an_idle_connection_outlives_those_who_keep_it(raw: Raw) -> None:
    """Pools of clients give a connection up after five seconds; the server must not do so at the same moment."""
    for pause_s in (6, 0):
        raw.send(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await raw.answer())[0] == 200
        await asyncio.sleep(pause_s)


async def test_a_chunked_body_without_end(raw: Raw) -> None:
    raw.send(b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: " + raw.key.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(MAX_BODY_BYTES // 1024 + 2):
        raw.send(b"400\r\n" + b" " * 1024 + b"\r\n")
    assert (await raw.refusal(413, "PAYLOAD_TOO_LARGE"))["details"] == {"maxBytes": MAX_BODY_BYTES}


async def test_a_broken_chunk(raw: Raw) -> None:
    raw.send(
        b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: " + raw.key.encode() + b"\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    )
    await raw.refusal(400, "VALIDATION_ERROR")


async def test_a_caller_who_hangs_up_in_the_middle_is_no_failure_of_ours(raw: Raw, caplog: pytest.LogCaptureFixture) -> None:
    raw.send(b"POST /api/v1/users HTTP/1.1\r\nHost: x\r\nAuthorization: " + raw.key.encode() + b"\r\nContent-Length: 100\r\n\r\n{")
    await asyncio.sleep(0.1)
    raw.writer.close()
    await asyncio.sleep(0.1)
    assert "request.failed" not in caplog.text


async def test_an_upgrade_is_an_ordinary_request(raw: Raw) -> None:
    raw.send(b"GET /api/v1/health HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
    status, _, body = await raw.answer()
    assert (status, body["data"]) == (200, {"status": "ok"})


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "TRACE", "PUT"])
async def test_methods_nobody_declared(api: Api, method: str) -> None:
    answer = await api.client.request(method, "/orders")
    assert answer.status_code == 405
    assert answer.headers["x-request-id"]
    if method != "HEAD":
        refused(answer, 405, "METHOD_NOT_ALLOWED")


@pytest.mark.parametrize(
    "query", ["limit=abc", "limit=0", "limit=101", "limit=1&limit=2&unknown=3", "unknown=1", "cursor=%00", "status=NONE", "limit=1e1"]
)
async def test_bad_queries(api: Api, query: str) -> None:
    refused(await api.client.get(f"/orders?{query}"), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "path", ["/orders/%00", "/orders/%ff%fe", "/orders/..%2f..%2fetc", "/orders/" + "x" * 5_000, "/%2e%2e/me", "/orders/%0d%0aSet-Cookie:x"]
)
async def test_odd_paths(api: Api, path: str) -> None:
    answer = await api.client.get(path)
    assert answer.status_code in {400, 404}
    refused(answer, answer.status_code, answer.json()["error"]["code"])
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "metadata",
    [
        {"k": "a" * (MAX_CHARACTERS + 1)},
        {"k": ["a"] * (MAX_MEMBERS + 1)},
        {str(number): 1 for number in range(MAX_MEMBERS + 1)},
        {"a" * (MAX_CHARACTERS + 1): 1},
        {"k\x00": 1},
        {"": 1},
        {"k": {"a" * 501: 1}},
    ],
)
async def test_bounds_of_any_body(api: Api, metadata: dict[str, Any]) -> None:
    error = refused(await api.client.post("/users", json={"externalUserId": "u", "metadata": metadata}), 400, "VALIDATION_ERROR")
    assert fields(error)[0].startswith("metadata")


@pytest.mark.parametrize(("depth", "status"), [(MAX_DEPTH - 1, 201), (MAX_DEPTH, 400)])
async def test_the_deepest_body(api: Api, depth: int, status: int) -> None:
    nested: Any = []
    for _ in range(depth - 2):
        nested = [nested]
    answer = await api.client.post("/users", json={"externalUserId": "u", "metadata": {"k": nested}})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    "body", [b'{"externalUserId": "\\ud800"}', b'{"externalUserId": 1e999}', b'{"externalUserId": "u"} x', b"\xef\xbb\xbf{}"]
)
async def test_json_that_others_let_pass(api: Api, body: bytes) -> None:
    refused(await api.client.post("/users", content=body, headers=JSON), 400, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    "body",
    [b'{"externalUserId": "a", "externalUserId": "b"}', b'{"externalUserId": "a", "metadata": {"externalUserId": 1, "externalUserId": 1}}'],
)
async def test_a_field_that_is_there_twice(api: Api, body: bytes) -> None:
    assert fields(refused(await api.client.post("/users", content=body, headers=JSON), 400, "VALIDATION_ERROR")) == ["externalUserId"]
