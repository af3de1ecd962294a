"""What import-linter cannot see: the single module worker.py, and imports inside functions of workflows."""

from __future__ import annotations

from tests.architecture.source import Source, below

# A composition root makes the HTTP and Redis clients that its adapters share; it speaks no protocol itself.
NOT_IN_THE_WORKER = {"sqlalchemy", "stellar_sdk", "fastapi", "starlette", "sandbox", "devstack", "api"}
# What a workflow must not ask outside of Temporal: the clock, chance, the machine.
NOT_IN_A_WORKFLOW = {"random", "secrets", "time", "socket", "subprocess", "threading", "requests"}


def forbidden(source: Source, names: set[str]) -> list[str]:
    return [
        f"{source.name}:{line} {module}"
        for line, module in source.imported()
        if module.split(".")[0] in names and not source.escapes("import", line)
    ]


def test_the_worker_only_wires() -> None:
    assert [problem for source in below("worker.py") for problem in forbidden(source, NOT_IN_THE_WORKER)] == []


def test_workflows_ask_neither_clock_nor_chance_nor_machine() -> None:
    assert [problem for source in below("workflows") for problem in forbidden(source, NOT_IN_A_WORKFLOW)] == []


def test_no_package_is_named_for_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "manager", "base", "handler", "handlers", "misc"}
    every = below("api", "activities", "workflows", "offerhub", "sandbox", "devstack", "cli")
    assert [source.name for source in every if empty & {*source.path.parts[-3:-1], source.path.stem}] == []
