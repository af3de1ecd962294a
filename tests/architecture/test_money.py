"""No float near money; nobody commits but the unit of work."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.source import Source, below

MONEY = ("offerhub/domain", "offerhub/commands", "offerhub/storage", "offerhub/stellar", "workflows", "api/schemas", "api/schemas.py")
SERVER = ("api", "activities", "workflows", "offerhub", "worker.py")
COMMITS = "offerhub/storage/unit_of_work.py"


def floats(source: Source) -> list[str]:
    """Calls of ``float(...)``: the one way an amount becomes one."""
    found = [
        node for node in ast.walk(source.tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
    ]
    return [f"{source.name}:{node.lineno}" for node in found if not source.escapes("float", node.lineno)]


def commits(source: Source) -> list[str]:
    found = [
        node
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "commit"
    ]
    return [f"{source.name}:{node.lineno}" for node in found if not source.escapes("commit", node.lineno)]


def test_no_float_near_money() -> None:
    assert [problem for source in below(*MONEY) for problem in floats(source)] == []


def test_only_the_unit_of_work_commits() -> None:
    assert [problem for source in below(*SERVER) if source.name != COMMITS for problem in commits(source)] == []


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        (floats, "x = float('1.0')\n", 1),
        (floats, "x = float('1.0')  # arch: allow-float because it is a share shown to people\n", 0),
        (floats, "x = float('1.0')  # arch: allow-commit because it is a share shown to people\n", 1),
        (floats, "x = int('1')\n", 0),
        (commits, "session.commit()\n", 1),
        (commits, "await self.session.commit()\n", 1),
        (commits, "session.rollback()\n", 0),
    ],
)
def test_the_rules_see_what_they_should(rule: object, text: str, found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.source.ROOT", tmp_path)
    (tmp_path / "example.py").write_text(text)
    assert callable(rule)
    assert len(rule(Source(tmp_path / "example.py"))) == found
