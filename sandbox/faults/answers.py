"""Wrong answers to any request: statuses, bodies and headers that no client hopes for."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import ClassVar

from pydantic import Field

from sandbox.faults.exchange import Answer, Exchange, Takeover
from sandbox.faults.kind import SEND_TRANSACTION
from sandbox.horizon.answers import Problem
from sandbox.horizon.submission import submitted_envelope, timed_out
from sandbox.ledger.chain import SubmissionStatus
from sandbox.ledger.envelope import Envelope

_HTML = b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body><center><h1>502 Bad Gateway</h1></center></body>\r\n</html>\r\n"
SYNC_TIMEOUT_S = 30.0


class WrongAnswer(Takeover):
    """With ``applies`` the request takes its full effect first; without it never reaches the network."""

    applies: bool = False

    @abstractmethod
    def answer(self) -> Answer:
        """What the client gets instead."""

    async def act(self, exchange: Exchange) -> bool:
        if self.applies:
            await exchange.run()
        await exchange.reply(self.answer())
        return True


class RateLimited(WrongAnswer):
    """Horizon answers 429 rate_limit_exceeded with its X-RateLimit headers and Retry-After."""

    retry_after_seconds: int = Field(default=1, ge=0, le=86_400)

    def answer(self) -> Answer:
        wait = str(self.retry_after_seconds)
        limits = {"X-RateLimit-Limit": "101", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": wait, "Retry-After": wait}
        return _problem(Problem("rate_limit_exceeded", "The rate limit for the requesting IP address is over its alloted limit."), limits)


class ServerError(WrongAnswer):
    """Horizon answers 500 internal_server_error as a problem document."""

    def answer(self) -> Answer:
        return _problem(Problem("internal_server_error", "An error occurred while processing this request."))


class HtmlBadGateway(WrongAnswer):
    """A proxy in front of the service answers 502 with an HTML page."""

    def answer(self) -> Answer:
        return Answer.of_text(502, _HTML, "text/html")


class EmptyGatewayTimeout(WrongAnswer):
    """A proxy in front of the service answers 504 with no body at all."""

    def answer(self) -> Answer:
        return Answer(504, b"")


class NullExtras(WrongAnswer):
    """Horizon answers 400 transaction_failed whose extras are null, so that it names no result code."""

    default_path: ClassVar[str] = r"^POST /transactions$"

    def answer(self) -> Answer:
        document = _problem(Problem("transaction_failed", "The transaction failed when submitted to the stellar network.")).document()
        return Answer.of_text(400, Answer.of_json(400, {**document, "extras": None}).body, "application/problem+json; charset=utf-8")


class AcceptThenDrop(Takeover):
    """The request takes its full effect, then the connection is closed without a byte of an answer."""

    default_path: ClassVar[str] = rf"^POST /transactions(_async)?$|{SEND_TRANSACTION}"

    async def act(self, exchange: Exchange) -> bool:
        await exchange.run()
        await exchange.drop()
        return True


class TimeoutButApplies(Takeover):
    """POST /transactions answers 504 transaction_submission_timeout although the transaction was applied."""

    default_path: ClassVar[str] = r"^POST /transactions$"
    wait_seconds: float = Field(default=0.0, ge=0, le=120)

    async def act(self, exchange: Exchange) -> bool:
        answer = await exchange.run()
        if answer.status != 200:
            await exchange.reply(answer)
            return False
        await asyncio.sleep(self.wait_seconds)
        await exchange.reply(_problem(timed_out(await _envelope(exchange))))
        return True


class TryAgainLater(Takeover):
    """Core refuses for now: 503 TRY_AGAIN_LATER on /transactions_async; on /transactions 504 after ``waitSeconds``, as Horizon does."""

    default_path: ClassVar[str] = r"^POST /transactions(_async)?$"
    wait_seconds: float = Field(default=SYNC_TIMEOUT_S, ge=0, le=120)

    async def act(self, exchange: Exchange) -> bool:
        try:
            envelope = await _envelope(exchange)
        except Problem:
            await exchange.pass_through()
            return False
        if exchange.request().url.path.endswith("_async"):
            refused = {"tx_status": SubmissionStatus.TRY_AGAIN_LATER.value, "hash": envelope.hash.hex()}
            await exchange.reply(Answer.of_json(503, refused))
            return True
        await asyncio.sleep(self.wait_seconds)
        await exchange.reply(_problem(timed_out(envelope)))
        return True


async def _envelope(exchange: Exchange) -> Envelope:
    """Raises Problem."""
    return await submitted_envelope(exchange.surroundings.ledger, exchange.request())


def _problem(problem: Problem, headers: dict[str, str] | None = None) -> Answer:
    response = problem.response()
    return Answer.of_text(response.status_code, bytes(response.body), response.headers["content-type"], headers)
