"""Lines of CSV (RFC 4180) that a spreadsheet shows and never runs."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable

# A cell that begins with one of these is a formula to a spreadsheet; an apostrophe before it makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_NUMBER = re.compile(r"-?\d+(\.\d+)?", re.ASCII)


def csv_line(cells: Iterable[object]) -> bytes:
    """Strings are made safe; numbers, decimal strings too, are written as they are, None as an empty cell."""
    written = io.StringIO()
    csv.writer(written, lineterminator="\r\n").writerow([_safe(cell) if isinstance(cell, str) else cell for cell in cells])
    return written.getvalue().encode()


def _safe(cell: str) -> str:
    is_formula = cell.lstrip(" ").startswith(_FORMULA) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell
