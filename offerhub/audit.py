"""``python -m offerhub.audit verify export.jsonl``: check an export of the audit log. Needs this checkout and Python, nothing else.

Ends with 0 when the chain holds, with 1 when it does not. ``--previous`` is the last hash of the export that this one goes on from;
``--published`` a hash that was told earlier (the event or log line ``audit.head``), which must still be there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from offerhub.domain.audit import GENESIS, Verdict, verify

_SHOWN_FAULTS = 20


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m offerhub.audit", description="Check an export of the audit log.")
    command = parser.add_subparsers(dest="command", required=True).add_parser("verify", help="check every entry and their order")
    command.add_argument("export", help="a file in application/x-ndjson, - for standard input")
    command.add_argument("--previous", default=GENESIS, metavar="HASH", help="where the export before this one ended")
    command.add_argument("--published", default=[], nargs="+", metavar="HASH", help="hashes told earlier, which must be in it")
    wanted = parser.parse_args(arguments)
    if wanted.export == "-":
        verdict = verify(sys.stdin, wanted.previous, wanted.published)
    else:
        with Path(wanted.export).open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            verdict = verify(lines, wanted.previous, wanted.published)
    sys.stdout.write(_report(verdict))
    return 1 if verdict.faults else 0


def _report(verdict: Verdict) -> str:
    said = [*verdict.faults[:_SHOWN_FAULTS]]
    if len(verdict.faults) > _SHOWN_FAULTS:
        said.append(f"and {len(verdict.faults) - _SHOWN_FAULTS} more faults")
    outcome = "broken" if verdict.faults else "unbroken"
    said.append(f"{verdict.entries} entries, {outcome}; last sequence {verdict.last_sequence}, last hash {verdict.last_hash}")
    return "\n".join(said) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
