"""Every command leaves an audit entry: it calls ``audit`` or something that does. The others are named here, with their reason."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture.source import Source, below

# These write their entries where the rows are written: the commands around them are many, the rows' own states few.
AUDITED_IN_STORAGE = {"operations.insert", "operations.start", "operations.finish", "wallets.move", "wallets.mark_ready"}
LEAVES_NONE = {
    "payments_stream": "reads",
    "confirmed_attempt": "reads",
    "get_operation": "reads",
    "in_flight": "reads",
    "lock_order": "reads under a lock",
    "lock_order_with_purse": "reads under a lock",
    "look_at_order": "reads",
    "look_at_dispute": "reads",
    "lock_dispute": "reads under a lock",
    "dispute_of": "reads",
    "locked": "reads under a lock",
    "get_endpoint": "reads",
    "next_to_pay": "reads",
    "paid_out": "compares",
    "require_undisputed": "checks",
    "open_escrow": "a part of the commands that move the order into ESCROW_CREATING",
    "schedule_next": "a part of the commands that move the order",
    "take_turn": "queues for a source account; what is then signed is audited",
    "tell_passed": "writes messages to workflows only",
    "tell_not_emptied": "writes messages to workflows only",
    "book_redelivery": "is its own record: a line of the delivery log",
}


def silent_commands(sources: Iterable[Source]) -> set[str]:
    """Public coroutines on a transaction from which no way leads to an audit entry."""
    calls: dict[str, set[str]] = {}
    commands: set[str] = set()
    for node in (node for source in sources for node in source.tree.body):
        for name in _names(node):
            calls.setdefault(name, set()).update(_mentioned(node))
        if isinstance(node, ast.AsyncFunctionDef) and not node.name.startswith("_") and _takes_transaction(node):
            commands.add(node.name)
    return {name for name in commands if not _audits(name, calls, set())}


def _names(node: ast.stmt) -> list[str]:
    """A function, or a table of functions."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return []


def _mentioned(node: ast.stmt) -> set[str]:
    names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
    dotted = (inner for inner in ast.walk(node) if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name))
    return names | {f"{inner.value.id}.{inner.attr}" for inner in dotted if isinstance(inner.value, ast.Name)}


def _takes_transaction(node: ast.AsyncFunctionDef) -> bool:
    return bool(node.args.args) and node.args.args[0].arg == "transaction"


def _audits(name: str, calls: dict[str, set[str]], seen: set[str]) -> bool:
    seen.add(name)
    mentioned = calls[name]
    if mentioned & {"transaction.audit", *AUDITED_IN_STORAGE}:
        return True
    return any(_audits(other, calls, seen) for other in sorted(mentioned) if other in calls and other not in seen)


def test_no_command_changes_anything_in_silence() -> None:
    silent = silent_commands(below("offerhub/commands")) - set(LEAVES_NONE)
    assert silent == set(), "call transaction.audit, or say in LEAVES_NONE why there is nothing to record"


def test_what_is_audited_in_storage_is() -> None:
    for place in AUDITED_IN_STORAGE:
        module, name = place.split(".")
        [source] = below(f"offerhub/storage/{module}.py")
        [function] = [node for node in source.functions() if node.name == name]
        reached = _mentioned(function) & {"transaction.audit", "_audited"}
        assert reached, place


@pytest.mark.parametrize(
    ("text", "silent"),
    [
        ("async def f(transaction):\n    transaction.audit()\n", set()),
        ("async def f(transaction):\n    transaction.emit()\n", {"f"}),
        ("async def f(transaction):\n    _g(transaction)\ndef _g(transaction):\n    transaction.audit()\n", set()),
        ("async def f(transaction):\n    T[1](transaction)\nT = {1: _g}\ndef _g(t, transaction):\n    transaction.audit()\n", set()),
        ("async def f(transaction):\n    await operations.finish(transaction)\n", set()),
        ("async def f(transaction):\n    await orders.finish(transaction)\n", {"f"}),
        ("async def f(transaction):\n    f()\n", {"f"}),
        ("async def _f(transaction):\n    pass\nasync def g(order):\n    pass\n", set()),
    ],
)
def test_the_rule_sees_what_it_should(text: str, silent: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.source.ROOT", tmp_path)
    (tmp_path / "example.py").write_text(text)
    assert silent_commands([Source(tmp_path / "example.py")]) == silent
