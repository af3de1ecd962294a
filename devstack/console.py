"""What the user sees: one line per event, prefixed with whom it is about."""

from __future__ import annotations

import contextlib
import time

WIDTH = 9


class Console:
    def __init__(self) -> None:
        self._began = time.monotonic()

    def say(self, who: str, what: str) -> None:
        self.plain(f"{self.elapsed_s:6.1f}s  {who:<{WIDTH}} | {what}")

    def plain(self, text: str) -> None:
        """A closed terminal or pipe must not take the stack down."""
        with contextlib.suppress(OSError):
            print(text, flush=True)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._began
