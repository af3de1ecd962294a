"""docker-compose.yml as data. Its YAML is a small part of the language, and this reads exactly that part: nested maps, one-line lists and
maps, comments, anchors and merges. Whatever else appears is refused, never guessed at."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_ENTRY = re.compile(r"(?P<indent> *)(?P<key><<|[A-Za-z0-9_.-]+):(?: +&(?P<anchor>[a-z-]+))?(?: +(?P<value>\S.*))?")


class UnreadableCompose(Exception):
    pass


@dataclass
class _Reader:
    lines: list[tuple[int, str]]
    anchors: dict[str, dict[str, Any]] = field(default_factory=dict)

    def map(self, indent: int) -> dict[str, Any]:
        """The entries from here on that stand at ``indent``."""
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        while self.lines:
            number, line = self.lines[0]
            entry = _ENTRY.fullmatch(line)
            if entry is None:
                raise UnreadableCompose(f"line {number}: {line}")
            if len(entry["indent"]) < indent:
                break
            if len(entry["indent"]) > indent:
                raise UnreadableCompose(f"line {number}: too far to the right")
            self.lines.pop(0)
            if entry["key"] == "<<":
                merged |= self.anchors[entry["value"].removeprefix("*")]
                continue
            if entry["key"] in own:
                raise UnreadableCompose(f"line {number}: {entry['key']} is there twice")
            own[entry["key"]] = self._value(entry, indent)
        return merged | own

    def _value(self, entry: re.Match[str], indent: int) -> Any:
        if entry["value"] is not None:
            return _flow(entry["value"])
        deeper = self.lines and len(self.lines[0][1]) - len(self.lines[0][1].lstrip()) > indent
        value = self.map(indent + 2) if deeper else None
        if entry["anchor"] and value is not None:
            self.anchors[entry["anchor"]] = value
        return value


def read(text: str) -> dict[str, Any]:
    lines = ((number, line.rstrip()) for number, line in enumerate(text.splitlines(), 1))
    return _Reader([(number, line) for number, line in lines if line and not line.lstrip().startswith("#")]).map(0)


def _flow(text: str) -> Any:
    """A value on one line."""
    if text.startswith(("&", "*", "|", ">", "'")) or " #" in text:
        raise UnreadableCompose(text)
    if not text.startswith(("[", "{")):
        return json.loads(text) if text.startswith('"') else text
    if re.search(r"[\[{]", text[1:].replace("${", "")):
        raise UnreadableCompose(text)
    inner = _split(text[1:-1])
    if text.startswith("["):
        return [_flow(part) for part in inner]
    pairs = (part.split(": ", 1) for part in inner)
    return {key: _flow(value) for key, value in pairs}


def _split(text: str) -> list[str]:
    """At the commas outside quotes; each is followed by one space."""
    parts = re.findall(r'((?:[a-z-]+: )?(?:"(?:[^"\\]|\\.)*"|[^",]+))(?:, |$)', text)
    if ", ".join(parts) != text:
        raise UnreadableCompose(text)
    return parts
