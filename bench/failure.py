from __future__ import annotations


class BenchFailure(Exception):
    """An answer, a state or a balance that makes every figure of the run worthless."""
