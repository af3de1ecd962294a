"""A local HTTP server that answers what a test tells it to: well, badly, or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.unit.stellar.offered import NETWORK, SEQUENCE

HASH = "ab" * 32
NOT_FOUND = {"type": "https://stellar.org/horizon-errors/not_found", "title": "Resource Missing", "status": 404}
REASONS = {200: "OK", 404: "Not Found"}


@dataclass(frozen=True)
class Answer:
    """``body`` as bytes is sent as it is; ``length`` None leaves the connection to end the answer."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    hold_s: int = 0

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


class HorizonServer:
    """Each path has its answers; the last one stays."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[str] = []
        self.heads: list[str] = []
        self.url = ""

    def put(self, path: str, *answers: Answer) -> None:
        self.answers[path] = list(answers)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[HorizonServer]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            self.requests.append(head.split("\r\n", 1)[0] + (await self._posted(head, reader)))
            target = head.split(" ", 2)[1]
            await self._answer(target.partition("?")[0], writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _posted(self, head: str, reader: asyncio.StreamReader) -> str:
        for line in head.split("\r\n"):
            if line.lower().startswith("content-length:"):
                return " " + (await reader.readexactly(int(line.partition(":")[2]))).decode()
        return ""

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        waiting = self.answers.get(path, [Answer(404, NOT_FOUND)])
        answer = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        content = answer.content()
        headers = {"Connection": "close", **answer.headers}
        if not answer.cut:
            headers["Content-Length"] = str(len(content))
        lines = [f"HTTP/1.1 {answer.status} {REASONS.get(answer.status, 'Other')}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
        await writer.drain()
        await asyncio.sleep(answer.hold_s)


def transaction_body(**other: Any) -> dict[str, Any]:
    return {
        "hash": HASH,
        "successful": True,
        "ledger": 100,
        "created_at": "2026-11-22T12:00:00Z",
        "source_account": "G",
        "source_account_sequence": str(SEQUENCE),
        "fee_charged": "120",
        "result_xdr": "AAAAAAAAAGQAAAAAAAAAAAAAAAA=",
        **other,
    }


def account_body(address: str, sequence: int = SEQUENCE, **other: Any) -> dict[str, Any]:
    line = {"limit": "922337203685.4775807", "buying_liabilities": "0.0000000"}
    usdc = {"asset_type": "credit_alphanum4", "asset_code": "USDC", "asset_issuer": NETWORK.usdc_issuer}
    return {
        "account_id": address,
        "sequence": str(sequence),
        "subentry_count": 1,
        "num_sponsoring": 0,
        "num_sponsored": 3,
        "sponsor": "GSPONSOR",
        "balances": [
            {**usdc, **line, "balance": "80.5000000", "is_authorized": True, "sponsor": "GSPONSOR"},
            {**usdc, "asset_issuer": "GFAKE", "balance": "999.0000000", "is_authorized": True},
            {"asset_type": "native", "balance": "0.0000001"},
        ],
        **other,
    }


def ledger_body(sequence: int, closed_at: str = "2026-11-22T12:00:00Z") -> dict[str, Any]:
    return {"sequence": sequence, "closed_at": closed_at, "hash": f"{sequence:064x}"}


def page(*records: Any) -> dict[str, Any]:
    return {"_embedded": {"records": list(records)}}


def at(ledger: int) -> dict[str, str]:
    return {"Latest-Ledger": str(ledger)}
