"""An export that was tampered with is found out, whichever way; an untouched one passes."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offerhub.domain.audit import GENESIS, AuditEntry, canonical, digest, verify
from tests.architecture.source import ROOT


def export(count: int, texts: tuple[str, ...] = ("Zoë", "{}", "\u2028", '"', "a\\b")) -> list[str]:
    lines, previous = [], GENESIS
    for number in range(1, count + 1):
        after = {"amount": f"{number}.00", "title": texts[number % len(texts)], "steps": [1, True, None]}
        linked = AuditEntry(
            *(f"aud_{number}", "order.created", "order", f"ord_{number}", "key_1", ["usr_1"], None, after, "req_1"),
            occurred_at=datetime(2026, 1, 1, 12, 0, number % 60, 123_456, UTC),
            sequence=number,
            previous_hash=previous,
        )
        previous = digest(linked.document())
        lines.append(canonical(replace(linked, hash=previous).document()))
    return lines


LINES = export(12)


def resealed(line: str, **changes: Any) -> str:
    """What somebody who knows the rules would write: the entry's own hash fits its new content."""
    entry = {**json.loads(line), **changes}
    return canonical({**entry, "hash": digest(entry)})


def test_an_untouched_export_passes() -> None:
    verdict = verify(line + "\n" for line in LINES)
    assert (verdict.entries, verdict.last_sequence, verdict.faults) == (12, 12, ())
    assert verdict.last_hash == json.loads(LINES[-1])["hash"]
    assert verify([]).faults == ()


@pytest.mark.parametrize("field", sorted(json.loads(LINES[0])))
def test_any_changed_field_is_found(field: str) -> None:
    changed = json.loads(LINES[5])
    changed[field] = {"sequence": 7, "before": {}, "after": {"amount": "6.01"}, "userIds": []}.get(field, "x" * 64)
    faults = verify([*LINES[:5], canonical(changed), *LINES[6:]]).faults
    assert faults, field
    assert "line 6" in faults[0]


@pytest.mark.parametrize("field", ["after", "actorId", "occurredAt", "previousHash"])
def test_a_changed_entry_that_was_hashed_again_is_found(field: str) -> None:
    assert verify([*LINES[:5], resealed(LINES[5], **{field: "0" * 64}), *LINES[6:]]).faults


TAMPERED = {
    "first line deleted": LINES[1:],
    "a line deleted": LINES[:5] + LINES[6:],
    "truncated middle": LINES[:3] + LINES[9:],
    "two lines swapped": [*LINES[:5], LINES[6], LINES[5], *LINES[7:]],
    "moved to the end": [*LINES[:5], *LINES[6:], LINES[5]],
    "a line twice": [*LINES[:5], LINES[5], *LINES[5:]],
    "a line inserted": [*LINES[:5], resealed(LINES[5], id="aud_x", sequence=6, previousHash=json.loads(LINES[4])["hash"]), *LINES[5:]],
    "a line inserted before all": [resealed(LINES[0], id="aud_x"), *LINES],
    "half a line": [*LINES[:5], LINES[5][:40], *LINES[6:]],
    "an empty line": [*LINES[:5], "", *LINES[5:]],
    "not an object": [*LINES[:5], "[]", *LINES[5:]],
    "the same key twice": [*LINES[:5], LINES[5].replace('{"action"', '{"actorId":"key_2","action"'), *LINES[6:]],
    "written differently": [*LINES[:5], json.dumps(json.loads(LINES[5])), *LINES[6:]],
    "renumbered to close the gap": [*LINES[:5], *(resealed(line, sequence=5 + step) for step, line in enumerate(LINES[6:], 1))],
}


@pytest.mark.parametrize("how", TAMPERED)
def test_tampering_is_found(how: str) -> None:
    assert verify(TAMPERED[how]).faults, how


@given(st.sets(st.integers(0, 11), min_size=1), st.permutations(range(12)))
def test_no_selection_and_no_other_order_passes(removed: set[int], order: list[int]) -> None:
    kept = [LINES[place] for place in range(12) if place not in removed]
    # Without its last entries a chain is a shorter chain; only a published hash shows that something is missing.
    prefix = kept == LINES[: len(kept)]
    assert bool(verify(kept).faults) != prefix
    assert verify(kept, published=[json.loads(LINES[-1])["hash"]]).faults or 11 not in removed
    shuffled = [LINES[place] for place in order]
    assert bool(verify(shuffled).faults) == (shuffled != LINES)


def test_a_chain_written_anew_from_some_point_does_not_hold_the_published_hash() -> None:
    forged, previous = LINES[:6], json.loads(LINES[5])["hash"]
    for line in LINES[6:]:
        forged = [*forged, resealed(line, actorId="key_innocent", previousHash=previous)]
        previous = json.loads(forged[-1])["hash"]
    assert verify(forged).faults == (), "which is why heads are published"
    assert verify(forged, published=[json.loads(LINES[3])["hash"]]).faults == ()
    assert "published" in verify(forged, published=[json.loads(LINES[8])["hash"]]).faults[0]


def test_an_export_may_go_on_from_another_one() -> None:
    at = json.loads(LINES[5])["hash"]
    assert verify(LINES[6:], previous=at).faults == ()
    assert verify(LINES[6:], previous=at, published=[at]).faults == ()
    assert verify(LINES[7:], previous=at).faults
    assert verify(LINES[6:8] + LINES[9:], previous=at).faults


@pytest.mark.parametrize(("lines", "code", "said"), [(LINES, 0, "12 entries, unbroken"), (TAMPERED["a line deleted"], 1, "line 6")])
def test_the_command_needs_nothing_but_python(lines: list[str], code: int, said: str, tmp_path: Path) -> None:
    path = tmp_path / "export.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = (sys.executable, "-S", "-m", "offerhub.audit", "verify", str(path))
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env={})
    assert (ended.returncode, ended.stderr) == (code, "")
    assert said in ended.stdout
    lost = subprocess.run((*command, "--published", "f" * 64), cwd=ROOT, capture_output=True, text=True, check=False, env={})
    assert (lost.returncode, "the published hash fff" in lost.stdout) == (1, True)
