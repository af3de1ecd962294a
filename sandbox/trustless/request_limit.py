"""Trustless Work's request limit: so many requests per window and client, then 429 until the window ends."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 60


class RequestLimit:
    """Counts in real time, not ledger time; a limit of 0 admits everything. ``admitted`` and ``refused`` say how often since the start."""

    def __init__(self, requests_per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = requests_per_minute
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}
        self.admitted = self.refused = 0

    def retry_after_s(self, client: str) -> int | None:
        """Count one request; None when it is admitted, else the seconds until the next one will be."""
        wait_s = self._wait_s(client) if self._limit else None
        if wait_s is None:
            self.admitted += 1
        else:
            self.refused += 1
        return wait_s

    def _wait_s(self, client: str) -> int | None:
        now = self._clock()
        ends_at, count = self._windows.get(client, (0.0, 0))
        if now >= ends_at:
            ends_at, count = now + WINDOW_S, 0
        self._windows[client] = (ends_at, count + 1)
        return math.ceil(ends_at - now) if count >= self._limit else None
