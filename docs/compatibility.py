"""Which changes of the API's document break a client that was written against the document before.

Clients send what they sent before, so requests may only become more tolerant; they read what they read before, so answers may only say
more. Clients are expected to ignore fields and enum values of answers that they do not know.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]
# Smaller is stricter, and larger is stricter.
_UPPER_BOUNDS = ("maxLength", "maximum", "exclusiveMaximum", "maxItems", "maxProperties")
_LOWER_BOUNDS = ("minLength", "minimum", "exclusiveMinimum", "minItems", "minProperties")
_SAME = ("pattern", "format", "const")


def breaking_changes(before: Json, after: Json) -> list[str]:
    """One sentence each, beginning with the place; none when every client of ``before`` gets along with ``after``."""
    return list(dict.fromkeys(_Comparison(before, after).operations()))


@dataclass(frozen=True)
class _Comparison:
    before: Json
    after: Json

    def operations(self) -> Iterator[str]:
        for path, methods in self.before["paths"].items():
            for method, operation in methods.items():
                place = f"{method.upper()} {path}"
                now = self.after["paths"].get(path, {}).get(method)
                if now is None:
                    yield f"{place}: removed"
                else:
                    yield from self._operation(place, operation, now)

    def _operation(self, place: str, was: Json, now: Json) -> Iterator[str]:
        for name in ("operationId", "x-required-scope", "x-tokens", "security"):
            if was.get(name) != now.get(name):
                yield f"{place}: {name} is {now.get(name)}, was {was.get(name)}"
        yield from self._parameters(place, was, now)
        yield from self._request_body(f"{place} body", was.get("requestBody"), now.get("requestBody"))
        yield from self._responses(place, was["responses"], now["responses"])

    def _parameters(self, place: str, was: Json, now: Json) -> Iterator[str]:
        known, offered = _by_name(self.before, was), _by_name(self.after, now)
        for name, parameter in known.items():
            if name not in offered:
                yield f"{place} {name}: removed"
                continue
            if offered[name].get("required") and not parameter.get("required"):
                yield f"{place} {name}: required now"
            yield from self._sent(f"{place} {name}", parameter["schema"], offered[name]["schema"], ())
        yield from (f"{place} {name}: new and required" for name in offered.keys() - known.keys() if offered[name].get("required"))

    def _request_body(self, place: str, was: Json | None, now: Json | None) -> Iterator[str]:
        if now is not None and now.get("required") and not (was or {}).get("required"):
            yield f"{place}: required now"
        if was is None:
            return
        for media, content in was["content"].items():
            accepted = (now or {"content": {}})["content"].get(media)
            if accepted is None:
                yield f"{place}: {media} is not accepted any more"
            else:
                yield from self._sent(place, content["schema"], accepted["schema"], ())

    def _responses(self, place: str, was: Json, now: Json) -> Iterator[str]:
        yield from (f"{place} {status}: a success that clients do not know" for status in sorted(now.keys() - was.keys()) if status < "300")
        for status, response in was.items():
            if status not in now:
                yield f"{place} {status}: removed"
                continue
            yield from (
                f"{place} {status}: header {name} removed" for name in response.get("headers", {}) if name not in now[status]["headers"]
            )
            for media, content in response.get("content", {}).items():
                answered = now[status].get("content", {}).get(media)
                if answered is None:
                    yield f"{place} {status}: no {media} any more"
                elif "schema" in content:
                    yield from self._read(f"{place} {status}", content["schema"], answered.get("schema", {}), ())

    def _sent(self, place: str, was: Json, now: Json, seen: tuple[str, ...]) -> Iterator[str]:
        """Whatever was accepted must be accepted."""
        if was.get("$ref") and was.get("$ref") in seen:
            return
        seen = (*seen, was["$ref"]) if "$ref" in was else seen
        offered = _alternatives(self.after, now)
        for kind, alternative in _alternatives(self.before, was).items():
            accepted = _counterpart(kind, offered)
            if accepted is None:
                yield f"{place}: {kind} is not accepted any more"
            else:
                yield from self._values(place, alternative, accepted)
                yield from _bounds(place, alternative, accepted)
                yield from self._sent_members(place, alternative, accepted, seen)

    def _sent_members(self, place: str, was: Json, now: Json, seen: tuple[str, ...]) -> Iterator[str]:
        known, offered = was.get("properties", {}), now.get("properties", {})
        required = set(now.get("required", ())) - set(was.get("required", ()))
        yield from (f"{place}.{name}: required now" for name in sorted(required))
        for name, schema in known.items():
            if name in offered:
                yield from self._sent(f"{place}.{name}", schema, offered[name], seen)
            else:
                yield f"{place}.{name}: removed"
        if "items" in was and "items" in now:
            yield from self._sent(f"{place}[]", was["items"], now["items"], seen)

    def _read(self, place: str, was: Json, now: Json, seen: tuple[str, ...]) -> Iterator[str]:
        """Whatever is answered must have been possible before."""
        if was.get("$ref") and was.get("$ref") in seen:
            return
        seen = (*seen, was["$ref"]) if "$ref" in was else seen
        known = _alternatives(self.before, was)
        for kind, alternative in _alternatives(self.after, now).items():
            expected = _counterpart(kind, known)
            if expected is None:
                yield f"{place}: may be {kind} now"
            else:
                yield from self._values(place, expected, alternative)
                yield from self._read_members(place, expected, alternative, seen)

    def _read_members(self, place: str, was: Json, now: Json, seen: tuple[str, ...]) -> Iterator[str]:
        known, answered = was.get("properties", {}), now.get("properties", {})
        missing = (set(was.get("required", ())) - set(now.get("required", ()))) & answered.keys()
        yield from (f"{place}.{name}: may be missing now" for name in sorted(missing))
        for name, schema in known.items():
            if name in answered:
                yield from self._read(f"{place}.{name}", schema, answered[name], seen)
            else:
                yield f"{place}.{name}: removed"
        if "items" in was and "items" in now:
            yield from self._read(f"{place}[]", was["items"], now["items"], seen)

    def _values(self, place: str, was: Json, now: Json) -> Iterator[str]:
        removed = [value for value in was.get("enum", ()) if value not in now.get("enum", was.get("enum", ()))]
        yield from (f"{place}: {value} is no value any more" for value in removed)
        for name in _SAME:
            if was.get(name) != now.get(name):
                yield f"{place}: {name} is {now.get(name)}, was {was.get(name)}"


def _bounds(place: str, was: Json, now: Json) -> Iterator[str]:
    stricter = [name for name in _UPPER_BOUNDS if name in now and (name not in was or now[name] < was[name])]
    stricter += [name for name in _LOWER_BOUNDS if name in now and (name not in was or now[name] > was[name])]
    yield from (f"{place}: {name} is {now[name]}, was {was.get(name)}" for name in stricter)
    if "enum" in now and "enum" not in was:
        yield f"{place}: only {now['enum']} now"
    if now.get("additionalProperties") is False and was.get("additionalProperties") is not False:
        yield f"{place}: no other fields now"


def _alternatives(document: Json, schema: Json, name: str = "") -> dict[str, Json]:
    """What a schema may be, references followed: objects by their names, so that a union is compared part by part."""
    if "$ref" in schema:
        kind, name = schema["$ref"].split("/")[-2:]
        return _alternatives(document, document["components"][kind][name], name)
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches:
        return {kind: one for branch in branches for kind, one in _alternatives(document, branch).items()}
    kind = str(schema.get("type", "anything"))
    kind += f" {name}" if kind == "object" and name else f" {schema['const']!r}" if "const" in schema else ""
    return {kind: schema}


def _counterpart(kind: str, among: Mapping[str, Json]) -> Json | None:
    """The same alternative on the other side; the only object there is may have been renamed."""
    objects = [schema for name, schema in among.items() if name.startswith("object")]
    renamed = objects[0] if kind.startswith("object") and len(objects) == 1 else None
    return among.get(kind, among.get("anything", renamed))


def _by_name(document: Json, operation: Json) -> dict[str, Json]:
    listed = operation.get("parameters", ())
    resolved = [document["components"]["parameters"][one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one for one in listed]
    return {f"{one['in']} {one['name']}": one for one in resolved}
