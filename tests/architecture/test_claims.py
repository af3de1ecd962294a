"""The tests that `docs/concepts/claims.md` points at exist."""

from __future__ import annotations

import re

from tests.architecture.source import ROOT, Source

CLAIMS = ROOT / "docs" / "concepts" / "claims.md"
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")


def test_every_test_that_a_claim_names_exists() -> None:
    named = NAMED.findall(CLAIMS.read_text(encoding="utf-8"))
    assert len(named) > 40
    missing = [f"{path}::{name}" for path, name in named if not _exists(path, name)]
    assert missing == []


def _exists(path: str, name: str) -> bool:
    """A file alone stands for all its tests."""
    file = ROOT / path
    return file.is_file() and (not name or name in {function.name for function in Source(file).functions()})
