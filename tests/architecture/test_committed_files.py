"""What must not stand in any committed file: where packages come from here, and where this checkout lies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.architecture.source import ROOT, committed

INDEX_ADDRESS = re.compile(
    r"--(extra-)?index-url[ =]\S*:/|--find[-]links[ =]\S|index-url *= *\S*:/|\"resolved\": *\"https?:|^\s*index *= *\"https?:"
)
LOCKS = ("requirements.lock", "requirements-dev.lock", "requirements-tools.lock")


def text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def index_addresses(text: str) -> list[str]:
    return [line for line in text.splitlines() if INDEX_ADDRESS.search(line)]


def test_no_committed_file_carries_a_package_index_address() -> None:
    assert {path.name: found for path in committed() if (found := index_addresses(text_of(path)))} == {}


def test_the_locks_carry_no_address_and_a_hash_for_every_package() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text()
        assert "://" not in text, name
        pins = re.split(r"\n(?=\S)", text.strip())
        assert [pin.splitlines()[0] for pin in pins if "--hash=sha256:" not in pin] == [], name


def test_no_committed_file_names_this_checkouts_place() -> None:
    if len(ROOT.parts) < 3:
        pytest.skip("the checkout lies so high that its path is an ordinary word")
    assert [path.name for path in committed() if str(ROOT) in text_of(path)] == []


# The at-sign stands for what would make this file break the rule itself.
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("--@index@-url https://example.org/simple", 1),
        ("--@extra-index@-url=file:///srv/simple", 1),
        ('      "@resolved": "https://example.org/a.tgz",', 1),
        ("alembic==1.20.1 \\", 0),
        ("uv pip compile --no-emit-index-url", 0),
    ],
)
def test_the_rule_sees_what_it_should(text: str, found: int) -> None:
    assert len(index_addresses(text.replace("@", ""))) == found
