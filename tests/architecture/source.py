"""The project's own Python files as syntax trees, and the named escape from a rule.

A line that must break a rule says so and why: ``# arch: allow-float because the percentage is shown, never booked``.
"""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("api", "activities", "workflows", "offerhub", "sandbox", "devstack", "cli", "migrations")
MODULES = ("worker.py",)
ESCAPE = re.compile(r"# arch: allow-(?P<rule>[a-z-]+) because (?P<reason>\S.{9,})")
ESCAPE_ATTEMPT = re.compile(r"# arch:")
RULES = frozenset({"long-file", "long-function", "many-parameters", "float", "commit", "import"})


@dataclass(frozen=True)
class Source:
    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="utf-8").splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse("\n".join(self.lines), self.name)

    def functions(self) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))

    def escapes(self, rule: str, line: int) -> bool:
        """Whether the line (from 1) carries the escape from ``rule``."""
        found = ESCAPE.search(self.lines[line - 1])
        return found is not None and found["rule"] == rule

    def imported(self) -> Iterator[tuple[int, str]]:
        """(line, module) of each import, also inside functions."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.lineno, node.module


def below(*names: str) -> list[Source]:
    """The Python files of these packages or modules, those that exist."""
    paths: Iterable[Path] = (
        path
        for name in names
        for path in ([ROOT / name] if name.endswith(".py") else sorted((ROOT / name).rglob("*.py")))
        if path.is_file()
    )
    return [Source(path) for path in paths]


@cache
def own() -> tuple[Source, ...]:
    return tuple(below(*PACKAGES, *MODULES))


@cache
def committed() -> tuple[Path, ...]:
    """Every file git knows; a checkout without git has none to judge."""
    listed = subprocess.run(("git", "ls-files", "-z"), cwd=ROOT, capture_output=True, text=True, check=True)
    return tuple(ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file())
