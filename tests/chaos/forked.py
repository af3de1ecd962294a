"""Workers that are there at once: a process that has imported everything already forks them. They die as any other does."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

from tests.chaos import worker_with_faults

_NURSERY = multiprocessing.get_context("forkserver")
_NURSERY.set_forkserver_preload([worker_with_faults.__name__])


class ForkedWorker:
    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._process = _NURSERY.Process(target=_work, args=(environment, log), daemon=True)
        self._process.start()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self._process.exitcode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None and self._process.pid is not None:
            os.kill(self._process.pid, sig)

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self.poll()
        assert code is not None, f"the worker still runs after {timeout} s"
        return code


def _work(environment: dict[str, str], log: Path) -> None:
    with log.open("ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.environ.clear()
    os.environ.update(environment)
    worker_with_faults.main()
