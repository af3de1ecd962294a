"""Horizon behind the chain: as a whole, or one replica of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

from pydantic import Field, model_validator
from starlette.requests import Request

from sandbox.faults.board import FaultBoard
from sandbox.faults.kind import Lasting, Occasion, OfRequests
from sandbox.ledger.ledger import Ledger
from sandbox.ledger.state import PAST_LEDGERS


class IngestionDelay(Lasting):
    """Horizon takes every ledger in ``ledgers`` ledgers or ``seconds`` seconds late: reads, streams and submissions that wait.

    At most 100 ledgers late: the sandbox remembers no more of the past.
    """

    ledgers: int | None = Field(default=None, ge=1, le=PAST_LEDGERS)
    seconds: float | None = Field(default=None, gt=0, le=3_600)

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.ledgers is None) == (self.seconds is None):
            raise ValueError("give either ledgers or seconds")
        return self

    def ingested(self, ledger: Ledger) -> int:
        if self.ledgers is not None:
            return max(1, ledger.latest_ledger - self.ledgers)
        return ledger.closed_before(self.seconds or 0)


class StaleReplica(OfRequests):
    """A request is answered by a replica that is ``ledgers`` ledgers behind, and says so in Latest-Ledger."""

    default_path: ClassVar[str] = r"^GET /(?!trustless-work/|rpc\b|friendbot\b)"
    ledgers: int = Field(ge=1, le=PAST_LEDGERS)


class ReadFaults:
    """Implements ``sandbox.horizon.replica.Ingestion``."""

    def __init__(self, board: FaultBoard, ledger: Ledger) -> None:
        self._board = board
        self._ledger = ledger

    def ingested(self) -> int:
        delays = self._board.lasting(IngestionDelay)
        return min((fault.kind.ingested(self._ledger) for fault in delays), default=self._ledger.latest_ledger)

    def newest(self, request: Request) -> Callable[[], int]:
        for delay in self._board.lasting(IngestionDelay):
            delay.fired += delay.kind.ingested(self._ledger) < self._ledger.latest_ledger
        if not self._board.any(StaleReplica):
            return self.ingested
        occasion = Occasion(f"{request.method} {request.url.path}", str(request.url))
        stale = self._board.strike(StaleReplica, occasion)
        if stale is None:
            return self.ingested
        behind = stale.kind.ledgers
        return lambda: max(1, min(self.ingested(), self._ledger.latest_ledger - behind))
