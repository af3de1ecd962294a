"""A case of sabotage: what goes wrong, and where. The folder through which the test and the worker it sabotages speak."""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

FOLDER_VARIABLE = "CHAOS_FOLDER"


class Mode(StrEnum):
    FAIL_BEFORE = "fail_before"
    FAIL_AFTER = "fail_after"
    TIME_OUT_AFTER = "time_out_after"
    TWICE = "twice"
    TWO_AT_ONCE = "two_at_once"
    KILL_BEFORE = "kill_before"
    KILL_AFTER = "kill_after"
    HOLD_BEFORE = "hold_before"
    HOLD_AFTER = "hold_after"


@dataclass(frozen=True)
class Place:
    """One activity on one verb's way; ``action`` is the plan's step it works on, where it works on one."""

    workflow: str
    activity: str
    action: str = ""

    def __str__(self) -> str:
        return ".".join(part for part in (self.workflow, self.activity, self.action) if part)


@dataclass(frozen=True)
class Policy:
    """Which cases to make of the places the worker comes by: every mode at every place, or one mode drawn for each place.

    Of several installations each may take its share of the places.
    """

    modes: tuple[Mode, ...]
    one_each: bool = False
    seed: int = 0
    only: str = ""
    share: int = 0
    shares: int = 1

    def at(self, place: Place) -> tuple[Mode, ...]:
        if not str(place).startswith(self.only) or zlib.crc32(str(place).encode()) % self.shares != self.share:
            return ()
        if self.one_each:
            return (self.modes[zlib.crc32(f"{self.seed} {place}".encode()) % len(self.modes)],)
        return self.modes


class CaseFolder:
    """Survives the worker: what has happened once does not happen again after a kill."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("places", "cases", "held", "violations"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def set_policy(self, policy: Policy) -> None:
        (self.folder / "policy.new").write_text(json.dumps(asdict(policy)))
        (self.folder / "policy.new").rename(self.folder / "policy.json")

    def policy(self) -> Policy:
        try:
            written = json.loads((self.folder / "policy.json").read_text())
        except FileNotFoundError:
            return Policy(())
        return Policy(**{**written, "modes": tuple(Mode(mode) for mode in written["modes"])})

    def claim(self, place: Place) -> Mode | None:
        """The next mode this place is still owed. Several processes may ask at the same time."""
        (self.folder / "places" / str(place)).touch()
        for mode in self.policy().at(place):
            try:
                os.close(os.open(self.folder / "cases" / f"{place}~{mode}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            return mode
        return None

    def places(self) -> set[Place]:
        return {_place(path.name) for path in (self.folder / "places").iterdir()}

    def cases(self) -> set[tuple[Place, Mode]]:
        split = (path.name.split("~") for path in (self.folder / "cases").iterdir())
        return {(_place(place), Mode(mode)) for place, mode in split}

    def owed(self) -> set[tuple[Place, Mode]]:
        policy = self.policy()
        return {(place, mode) for place in self.places() for mode in policy.at(place)} - self.cases()

    def forget(self) -> None:
        """What has happened may happen again."""
        for path in (self.folder / "cases").iterdir():
            path.unlink()

    def hold(self, place: Place, mode: Mode) -> Path:
        marker = self.folder / "held" / f"{place}~{mode}"
        marker.touch()
        return marker

    def held(self) -> list[Path]:
        return list((self.folder / "held").iterdir())

    def let_go(self) -> None:
        for marker in self.held():
            marker.unlink()

    def violation(self, sentence: str) -> None:
        (self.folder / "violations" / f"{zlib.crc32(sentence.encode()):08x}").write_text(sentence)

    def violations(self) -> list[str]:
        return [path.read_text() for path in (self.folder / "violations").iterdir()]


def _place(name: str) -> Place:
    workflow, activity, *action = name.split(".")
    return Place(workflow, activity, *action)
