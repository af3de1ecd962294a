"""What the figures were taken on; without it they mean nothing."""

from __future__ import annotations

import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Machine:
    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    revision: str
    load_average_before: float

    @classmethod
    def here(cls) -> Machine:
        """Load average before the run: more than a little of it belongs to neighbours and makes the figures worse."""
        return cls(
            cpu=_cpu(),
            cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            memory_gib=round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
            system=f"{platform.system()} {platform.release()} {platform.machine()}",
            python=platform.python_version(),
            revision=_revision(),
            load_average_before=round(os.getloadavg()[0], 2),
        )


def _cpu() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"


def _revision() -> str:
    """With a plus when files that git knows differ from it."""
    head = _git("rev-parse", "--short", "HEAD")
    return f"{head}+" if head and _git("status", "--porcelain", "--untracked-files=no") else head or "unknown"


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(("git", *arguments), cwd=CHECKOUT, capture_output=True, text=True, check=False)  # noqa: S607 git by its name
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
