"""Write the pages that are made from code: ``python -m docs.generate``.

A change of the API that breaks its clients is refused, unless it is said to be meant: ``--accept-breaking-changes``.
"""

from __future__ import annotations

import json
import sys
from itertools import groupby
from pathlib import Path

from api.app import openapi_document
from docs.compatibility import breaking_changes
from offerhub.domain.events import AMOUNT_FIELDS, BALANCE_SOURCES, CATALOGUE, EventType

PAGES = Path(__file__).parent
OPENAPI = PAGES / "reference" / "openapi.json"
_ACCEPT = "--accept-breaking-changes"
HOW_TO_ACCEPT = "If this is meant: `make docs BREAKING=accepted`, and say so in the commit message."
_HEAD = """# Events

Made from `offerhub/domain/events.py` by `make docs`; do not edit.

Every event comes in the same envelope: `eventId`, `eventType`, `occurredAt`, `position` (rising, without holes, in commit order),
`aggregateId`, `aggregateType` (the name that `resourceTypes` takes), `payload`, `metadata`. The fields
below are those of `payload`: strings or null.

- Amounts, as decimal strings: {amounts}.
- `source` of the balance events is one of {sources}.
"""


def events_page() -> str:
    grouped = groupby(sorted(CATALOGUE.items(), key=lambda entry: entry[1].aggregate), key=lambda entry: entry[1].aggregate)
    tables = [_table(aggregate, list(entries)) for aggregate, entries in grouped]
    head = _HEAD.format(amounts=_fields(sorted(AMOUNT_FIELDS)), sources=_fields(BALANCE_SOURCES))
    return "\n".join([head, *tables])


def _table(aggregate: str, entries: list[tuple[str, EventType]]) -> str:
    rows = [f"| `{name}` | {_fields(kind.required)} | {_fields(kind.optional)} |" for name, kind in entries]
    return "\n".join([f"## {aggregate}", "", "| Type | Always | Sometimes |", "|---|---|---|", *rows, ""])


def _fields(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def openapi_page() -> str:
    return json.dumps(openapi_document(), indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main(arguments: list[str]) -> None:
    page = openapi_page()
    broken = breaking_changes(json.loads(OPENAPI.read_text(encoding="utf-8")), json.loads(page)) if OPENAPI.exists() else []
    if broken and _ACCEPT not in arguments:
        sys.exit("\n".join(["The API would break its clients:", *(f"  {change}" for change in broken), HOW_TO_ACCEPT]))
    (PAGES / "reference").mkdir(exist_ok=True)
    (PAGES / "reference" / "events.md").write_text(events_page(), encoding="utf-8")
    OPENAPI.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
