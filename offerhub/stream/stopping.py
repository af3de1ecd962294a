"""How a loop beside the requests or workers ends: by cancellation of its task, even one that was swallowed on the way."""

from __future__ import annotations

import asyncio


def told_to_stop() -> bool:
    """Whether this task has been canceled at any time.

    ``asyncio.wait_for`` of Python 3.11, which drivers wait with, loses a cancellation that comes just as the wait ends.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
