"""Size and shape: what keeps a file readable in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.architecture.source import ESCAPE, ESCAPE_ATTEMPT, RULES, Source, own

LONGEST_FILE_LINES = 400
LONGEST_FUNCTION_LINES = 70
MOST_PARAMETERS = 5


def long_file(source: Source) -> list[str]:
    too_long = len(source.lines) > LONGEST_FILE_LINES and not source.escapes("long-file", 1)
    return [f"{source.name}: {len(source.lines)} lines"] if too_long else []


def long_functions(source: Source) -> list[str]:
    lengths = ((function, (function.end_lineno or 0) - function.lineno + 1) for function in source.functions())
    return [
        f"{source.name}:{function.lineno} {function.name}: {lines} lines"
        for function, lines in lengths
        if lines > LONGEST_FUNCTION_LINES and not source.escapes("long-function", function.lineno)
    ]


def many_parameters(source: Source) -> list[str]:
    return [
        f"{source.name}:{function.lineno} {function.name}: {_parameters(function)} parameters"
        for function in source.functions()
        if _parameters(function) > MOST_PARAMETERS and not source.escapes("many-parameters", function.lineno)
    ]


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Self and cls are not the caller's; a web framework's declared inputs are counted like any other."""
    arguments = function.args
    names = [argument.arg for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def test_no_file_is_longer_than_400_lines() -> None:
    assert [problem for source in own() for problem in long_file(source)] == []


def test_no_function_is_longer_than_70_lines() -> None:
    assert [problem for source in own() for problem in long_functions(source)] == []


def test_no_function_takes_more_than_5_parameters() -> None:
    assert [problem for source in own() for problem in many_parameters(source)] == []


def test_every_package_opens_with_a_paragraph() -> None:
    silent = [source.name for source in own() if source.path.name == "__init__.py" and not ast.get_docstring(source.tree)]
    assert silent == []


def test_every_escape_names_a_rule_and_a_reason() -> None:
    lines = ((source, number, line) for source in own() for number, line in enumerate(source.lines, 1) if ESCAPE_ATTEMPT.search(line))
    bad = [f"{source.name}:{number}" for source, number, line in lines if not ((found := ESCAPE.search(line)) and found["rule"] in RULES)]
    assert bad == []


@pytest.mark.parametrize(
    ("rule", "text", "found"),
    [
        (long_functions, "def f():\n" + "    pass\n" * 69, 0),
        (long_functions, "def f():\n" + "    pass\n" * 70, 1),
        (long_functions, "def f():  # arch: allow-long-function because it is one table\n" + "    pass\n" * 70, 0),
        (long_functions, "def f():  # arch: allow-long-function\n" + "    pass\n" * 70, 1),
        (many_parameters, "def f(self, a, b, c, d, e): ...\n", 0),
        (many_parameters, "async def f(a, b, c, *, d, e, g): ...\n", 1),
        (long_file, "x = 1\n" * 401, 1),
        (long_file, "x = 1\n" * 400, 0),
    ],
)
def test_the_rules_see_what_they_should(rule: object, text: str, found: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.source.ROOT", tmp_path)
    (tmp_path / "example.py").write_text(text)
    assert callable(rule)
    assert len(rule(Source(tmp_path / "example.py"))) == found
