"""How long a step waits before it asks for another envelope."""

from __future__ import annotations

from itertools import pairwise

from workflows.chain_step import FIRST_PAUSE, LONGEST_PAUSE, pause_after


def test_pauses_grow_to_a_limit() -> None:
    pauses = [pause_after(unsent) for unsent in (1, 2, 3, 4, 5, 6, 10_000)]
    assert pauses[0] == FIRST_PAUSE
    assert all(later in (2 * earlier, LONGEST_PAUSE) for earlier, later in pairwise(pauses))
    assert pauses[-1] == LONGEST_PAUSE
