"""CPU time of the stack's processes, read from /proc.

Measured: user and system time of each role's process and of all its descendants, also of those that ended meanwhile.
Not measured: work the kernel does outside any process (interrupts, write-back), and anything on a system without /proc.

What is left of the machine's busy time was used by neighbours. It is reported with every figure, because a figure taken beside
busy neighbours says little about latency; CPU time per piece of work suffers less.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
QUIET_CORES = 0.25
QUIET_WINDOWS = 2
QUIET_LIMIT_S = 90


class _Process(NamedTuple):
    parent: int
    cpu_ms: float


class Reading(NamedTuple):
    at: float
    roles_ms: dict[str, float]
    own_ms: float
    machine_ms: float


@dataclass(frozen=True)
class Usage:
    """CPU per piece of work: of each role, and of the generator, which is in none of them. ``neighbours_cores`` is not per piece."""

    roles_ms: Mapping[str, float]
    generator_ms: float
    neighbours_cores: float


class Meter:
    """``pids`` are the roots: role to process id, as in stack.json."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._ms_per_tick = 1_000 / os.sysconf("SC_CLK_TCK")
        self.works = (PROC / "self" / "stat").exists()

    def read(self) -> Reading:
        processes = self._processes()
        children: dict[int, list[int]] = {}
        for pid, process in processes.items():
            children.setdefault(process.parent, []).append(pid)
        roles_ms = {role: _tree_ms(pid, processes, children) for role, pid in self._pids.items()}
        return Reading(time.perf_counter(), roles_ms, time.process_time() * 1_000, self._machine_ms())

    def since(self, before: Reading, pieces: int = 1) -> Usage:
        after = self.read()
        roles_ms = {role: after.roles_ms[role] - before.roles_ms[role] for role in after.roles_ms}
        own_ms = after.own_ms - before.own_ms
        others_ms = after.machine_ms - before.machine_ms - sum(roles_ms.values()) - own_ms
        return Usage(
            roles_ms={role: round(ms / pieces, 2) for role, ms in roles_ms.items()},
            generator_ms=round(own_ms / pieces, 3),
            neighbours_cores=round(max(0.0, others_ms / 1_000 / (after.at - before.at)), 2),
        )

    async def until_quiet(self) -> bool:
        """Wait for what earlier work left behind; False if it never ended."""
        quiet = 0
        for _ in range(QUIET_LIMIT_S if self.works else 0):
            before = self.read()
            await asyncio.sleep(1)
            used_ms = sum(self.since(before).roles_ms.values())
            quiet = quiet + 1 if used_ms < QUIET_CORES * 1_000 else 0
            if quiet == QUIET_WINDOWS:
                return True
        return not self.works

    async def idle(self, seconds: int = 5) -> Usage:
        """What a second of the stack costs when nobody uses it."""
        before = self.read()
        await asyncio.sleep(seconds)
        return self.since(before, seconds)

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

    def _machine_ms(self) -> float:
        """Busy time of all processors: user, nice, system, interrupts; neither idle nor waiting nor stolen."""
        if not self.works:
            return 0.0
        user, nice, system, _idle, _waiting, irq, softirq = map(int, (PROC / "stat").read_text().split("\n", 1)[0].split()[1:8])
        return (user + nice + system + irq + softirq) * self._ms_per_tick


def _tree_ms(pid: int, processes: Mapping[int, _Process], children: Mapping[int, list[int]]) -> float:
    own_ms = processes[pid].cpu_ms if pid in processes else 0.0
    return own_ms + sum(_tree_ms(child, processes, children) for child in children.get(pid, []))
