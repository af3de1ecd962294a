"""What a person decides by a signal, as somebody typed it: anything may come in, and only what is well formed goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

from offerhub.domain.messages import DecisionSignal

HOW = '{"decision": "SPLIT", "releaseAmount": "…", "refundAmount": "…", "by": "…", "note": "…"}'
_FIELDS = tuple(one.name for one in fields(DecisionSignal))
# As long as a note may be in the API.
_LONGEST = 500


class MalformedDecision(Exception):
    """A sentence for whoever gave it. It repeats nothing that could not be shown."""


def read_decision(sent: Sequence[object]) -> DecisionSignal:
    """On a dispute. Whether the decision is a good one is judged by the command, as for the API."""
    given = sent[0] if len(sent) == 1 else None
    if not isinstance(given, dict):
        raise MalformedDecision(f"a decision is one JSON object: {HOW}")
    unknown = [ascii(str(name))[:40] for name in given if name not in _FIELDS]
    if unknown:
        raise MalformedDecision(f"unknown field {', '.join(unknown[:5])}; a decision has {', '.join(_FIELDS)}")
    decision = DecisionSignal(**{name: _text(name, value) for name, value in given.items() if value is not None})
    if not decision.by.strip():
        raise MalformedDecision('"by" must say who decides')
    return decision


def read_note(sent: Sequence[object]) -> str:
    """Who decides and why, in one string."""
    note = _text("note", sent[0] if len(sent) == 1 else None)
    if not note.strip():
        raise MalformedDecision('"note" must say who decides and why')
    return note


def _text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise MalformedDecision(f'"{name}" must be a string in quotes')
    if len(value) > _LONGEST:
        raise MalformedDecision(f'"{name}" has more than {_LONGEST} characters')
    try:
        value.encode()
    except UnicodeEncodeError:
        raise MalformedDecision(f'"{name}" is no text') from None
    if "\x00" in value:
        raise MalformedDecision(f'"{name}" is no text')
    return value
