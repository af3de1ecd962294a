"""Wait for a message, but not beyond a deadline: the durable timers of orders and disputes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

# Something else has to end first, or the engine's clock disagrees with Temporal's: asking again at once would only cost.
_FIRST_PAUSE = timedelta(seconds=2)
_LONGEST_PAUSE = timedelta(minutes=5)


class Deadline:
    """Only says that it may be time. Whether it is, the database decides, by the engine's clock: whoever waits here asks it afterwards.

    Where the engine's clock runs ahead of Temporal's (a sandbox's can be advanced) a new deadline may have passed already, which only the
    database can tell; and the timer is too late, so that a message comes before it.
    """

    def __init__(self) -> None:
        self._due_unix = 0
        self._in_vain = 0

    async def wait(self, has_arrived: Callable[[], bool], due_unix: int, what: str) -> None:
        """Until ``has_arrived``, or until ``due_unix`` where there is one; a new deadline is asked about at once, one that stays in growing
        intervals.
        """
        if not due_unix:
            await workflow.wait_condition(has_arrived)
            return
        if due_unix != self._due_unix:
            self._due_unix, self._in_vain = due_unix, 0
            return
        # Deadlines are shown in whole seconds: the next one is certainly after it.
        left = timedelta(seconds=due_unix + 1) - timedelta(seconds=workflow.now().timestamp())
        try:
            await workflow.wait_condition(has_arrived, timeout=max(left, self._pause()), timeout_summary=f"until {what}")
        except TimeoutError:
            self._in_vain += 1

    def _pause(self) -> timedelta:
        if not self._in_vain:
            return timedelta(0)
        return min(_FIRST_PAUSE * (1 << min(self._in_vain - 1, 10)), _LONGEST_PAUSE)
