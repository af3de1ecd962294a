"""A small process that outlives a killed supervisor just long enough to stop what it left.

It reads from a pipe whose other end only the supervisor holds: ``+ tier signal pid`` for each child started, ``- pid`` for each that
ended. At end-of-file it stops whatever is still known, in the supervisor's order, removes the file named on its command line (the
description of a stack that is no more), and goes. Run as a file, with the standard library
only, to stay small. It also holds the lock on the home (an inherited descriptor), so that no second instance starts meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

GRACE_S = 1.5
POLL_S = 0.02


def alive(pid: int) -> bool:
    """A zombie is dead: in a container there may be nobody to reap it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:  # noqa: PTH123 pathlib would double the size
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return not os.path.isdir("/proc/self")  # noqa: PTH112 the same


def stop_all(children: dict[int, tuple[int, int]]) -> None:
    """Ask tier by tier from the highest, then kill; the last tiers need no clean end, but get the chance."""
    for tier in sorted({tier for tier, _ in children.values()}, reverse=True):
        pids = [pid for pid, (of, _) in children.items() if of == tier]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, children[pid][1])
        until = time.monotonic() + GRACE_S
        while any(alive(pid) for pid in pids) and time.monotonic() < until:
            time.sleep(POLL_S)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, signal.SIGKILL)


def main() -> None:
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    children: dict[int, tuple[int, int]] = {}
    for line in sys.stdin:
        match line.split():
            case ["+", tier, number, pid]:
                children[int(pid)] = (int(tier), int(number))
            case ["-", pid]:
                children.pop(int(pid), None)
    for described in sys.argv[1:]:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(described)  # noqa: PTH108 the same
    stop_all(children)


if __name__ == "__main__":
    main()
