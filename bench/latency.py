"""Latencies of many requests in four numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Latency:
    """Percentiles by nearest rank: each is a latency that was really seen."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float

    @classmethod
    def of(cls, samples_s: Sequence[float]) -> Latency:
        ordered = sorted(samples_s)

        def rank_ms(share: float) -> float:
            return round(ordered[max(0, math.ceil(share * len(ordered)) - 1)] * 1_000, 2)

        return cls(len(ordered), rank_ms(0.50), rank_ms(0.95), rank_ms(0.99))
