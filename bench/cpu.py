"""CPU time of the stack's processes, read from /proc.

Measured: user and system time of each role's process and of all its descendants, also of those that ended meanwhile.
Not measured: work the kernel does outside any process (interrupts, write-back), and anything on a system without /proc.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
QUIET_CORES = 0.25
QUIET_WINDOWS = 2
QUIET_LIMIT_S = 90


class _Process(NamedTuple):
    parent: int
    cpu_ms: float


class Meter:
    """``pids`` are the roots: role to process id, as in stack.json."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._ms_per_tick = 1_000 / os.sysconf("SC_CLK_TCK")
        self.works = (PROC / "self" / "stat").exists()

    def read_ms(self) -> dict[str, float]:
        """CPU milliseconds since each role's start."""
        processes = self._processes()
        children: dict[int, list[int]] = {}
        for pid, process in processes.items():
            children.setdefault(process.parent, []).append(pid)
        return {role: _tree_ms(pid, processes, children) for role, pid in self._pids.items()}

    async def until_quiet(self) -> bool:
        """Wait for what earlier work left behind; False if it never ended."""
        quiet = 0
        for _ in range(QUIET_LIMIT_S if self.works else 0):
            before = self.read_ms()
            await asyncio.sleep(1)
            used_ms = sum(difference(before, self.read_ms()).values())
            quiet = quiet + 1 if used_ms < QUIET_CORES * 1_000 else 0
            if quiet == QUIET_WINDOWS:
                return True
        return not self.works

    async def idle_ms_per_s(self, seconds: int = 5) -> dict[str, float]:
        """What the stack costs when nobody uses it."""
        before = self.read_ms()
        await asyncio.sleep(seconds)
        return shared(difference(before, self.read_ms()), seconds)

    def _processes(self) -> dict[int, _Process]:
        found: dict[int, _Process] = {}
        for folder in PROC.iterdir() if self.works else ():
            if folder.name.isdigit():
                try:
                    # The name in brackets may hold anything; what follows the last bracket is numbers.
                    fields = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue  # ended between the listing and the look
                ticks = sum(map(int, fields[11:15]))  # its own user and system time, and that of children it has reaped
                found[int(folder.name)] = _Process(int(fields[1]), ticks * self._ms_per_tick)
        return found


def difference(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {role: after[role] - before[role] for role in after}


def shared(used_ms: Mapping[str, float], count: float) -> dict[str, float]:
    return {role: round(ms / count, 2) for role, ms in used_ms.items()}


def _tree_ms(pid: int, processes: Mapping[int, _Process], children: Mapping[int, list[int]]) -> float:
    own_ms = processes[pid].cpu_ms if pid in processes else 0.0
    return own_ms + sum(_tree_ms(child, processes, children) for child in children.get(pid, []))
