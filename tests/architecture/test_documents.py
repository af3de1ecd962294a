"""What the documents name must exist, and what is made from code must be current."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generate import PAGES, events_page

ROOT = Path(__file__).parents[2]
MOST_PICTURE_BYTES = 150 * 1024
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMED = re.compile(
    r"`((?:api|activities|workflows|offerhub|sandbox|devstack|bench|migrations|tests|docs|deploy|temporal-config)/[\w./-]*|worker\.py)`"
)
LINKED = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def test_every_file_and_folder_the_documents_name_exists() -> None:
    missing = [
        f"{document.relative_to(ROOT)}: {name}"
        for document in DOCUMENTS
        for name in NAMED.findall(document.read_text())
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_the_pages_made_from_code_are_current() -> None:
    assert (PAGES / "reference" / "events.md").read_text(encoding="utf-8") == events_page(), "run `make docs`"


def test_every_link_between_documents_leads_somewhere() -> None:
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in DOCUMENTS
        for target in LINKED.findall(document.read_text())
        if not (document.parent / target).exists()
    ]
    assert broken == []


def test_every_picture_is_small_and_shown_somewhere() -> None:
    shown = {(document.parent / target).resolve() for document in DOCUMENTS for target in LINKED.findall(document.read_text())}
    pictures = {picture.resolve(): picture.stat().st_size for picture in (ROOT / "docs").rglob("*.png")}
    assert [path.name for path, size in pictures.items() if path not in shown or size > MOST_PICTURE_BYTES] == []
