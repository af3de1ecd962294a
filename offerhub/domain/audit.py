"""The audit log as a chain of hashes: how an entry is written down, what its hash covers, and how an export is checked.

An entry's document is one JSON object. Its canonical form has sorted keys, no white space and no escapes beyond JSON's own, in UTF-8.
``hash`` is the SHA-256 of the canonical form of all other fields; among them are ``sequence`` (from 1, without holes) and ``previousHash``,
the hash of the entry before. An export is these documents in canonical form, one a line. Standard library only, so that whoever checks an
export needs nothing of us but this file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

GENESIS = "0" * 64
"""``previousHash`` of the very first entry."""


@dataclass(frozen=True)
class AuditEntry:
    """Who changed what. The last three are None until the entry is sealed, a moment after its commit."""

    id: str
    action: str
    resource_type: str
    resource_id: str
    actor_id: str
    user_ids: list[str]
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    correlation_id: str
    occurred_at: datetime
    sequence: int | None = None
    previous_hash: str | None = None
    hash: str | None = None

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "sequence": self.sequence,
            "action": self.action,
            "resourceType": self.resource_type,
            "resourceId": self.resource_id,
            "actorId": self.actor_id,
            "userIds": self.user_ids,
            "before": self.before,
            "after": self.after,
            "correlationId": self.correlation_id,
            "occurredAt": self.occurred_at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "previousHash": self.previous_hash,
            "hash": self.hash,
        }


def canonical(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest(document: Mapping[str, Any]) -> str:
    covered = {name: value for name, value in document.items() if name != "hash"}
    return hashlib.sha256(canonical(covered).encode(errors="surrogatepass")).hexdigest()


@dataclass(frozen=True)
class Verdict:
    """``last_hash`` is where the next export has to go on; ``faults`` is empty when the chain holds."""

    entries: int
    last_sequence: int
    last_hash: str
    faults: tuple[str, ...]


def verify(lines: Iterable[str], previous: str = GENESIS, published: Collection[str] = ()) -> Verdict:
    """Check an export. ``previous`` is the last hash of the export before it, ``published`` are hashes told earlier that must be in it."""
    faults: list[str] = []
    missing = set(published) - {previous}
    entries, sequence, expected = 0, 0 if previous == GENESIS else None, previous
    for number, line in enumerate(lines, 1):
        text = line.removesuffix("\n")
        entry = _parsed(text)
        if entry is None:
            faults.append(f"line {number}: not an entry of an audit log")
            continue
        entries += 1
        name = f"line {number}, entry {entry['sequence']} ({entry['id']})"
        if canonical(entry) != text:
            faults.append(f"{name}: not written in the canonical form")
        if digest(entry) != entry["hash"]:
            faults.append(f"{name}: its content is not what was sealed")
        if entry["previousHash"] != expected or (sequence is not None and entry["sequence"] != sequence + 1):
            faults.append(f"{name}: does not follow the line before; entries were removed, inserted or moved")
        sequence, expected = entry["sequence"], entry["hash"]
        missing.discard(expected)
    faults += [f"the published hash {lost} is not in this chain" for lost in sorted(missing)]
    return Verdict(entries, sequence or 0, expected, tuple(faults))


def _parsed(line: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("sequence"), int):
        return None
    return entry if all(isinstance(entry.get(name), str) for name in ("id", "hash", "previousHash")) else None
