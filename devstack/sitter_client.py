"""The supervisor's end of the sitter's pipe."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

SITTER = Path(__file__).with_name("sitter.py")


class Sitter:
    """Tells the sitter process of every child; starts another one if it was killed."""

    def __init__(self, lock_descriptor: int | None = None, remove: Path | None = None) -> None:
        self._inherited = () if lock_descriptor is None else (lock_descriptor,)
        self._arguments = () if remove is None else (str(remove),)
        self._known: dict[int, str] = {}
        self._process = self._spawn()

    def watch(self, pid: int, tier: int, stop_signal: int) -> None:
        self._known[pid] = f"+ {tier} {int(stop_signal)} {pid}\n"
        self._tell(self._known[pid])

    def forget(self, pid: int) -> None:
        if self._known.pop(pid, None) is not None:
            self._tell(f"- {pid}\n")

    def close(self) -> None:
        """Let it go. What it still knows of, it stops first."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()

    def _spawn(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            (sys.executable, "-S", "-E", str(SITTER), *self._arguments),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            cwd="/",
            start_new_session=True,
            pass_fds=self._inherited,
        )

    def _tell(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            self._process.wait()
            self._process = self._spawn()
            for known in self._known.values():
                self._tell(known)
