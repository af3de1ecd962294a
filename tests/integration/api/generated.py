"""Requests made from the OpenAPI document: what its schemas allow, and what they do not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st

Json = Mapping[str, Any]
SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=20)
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)
ASCII = st.characters(min_codepoint=32, max_codepoint=126)
TEXT = st.characters(codec="utf-8", min_codepoint=32, exclude_characters="".join(map(chr, range(0x7F, 0xA0))))
# A slash would make another path of it, and a line end is in no path at all.
SEGMENTS = st.text(st.characters(codec="utf-8", exclude_characters="/\\\r\n"), min_size=1, max_size=30).filter(
    lambda text: text.strip(".") != ""
)
NO_JSON = st.sampled_from([b"{", b"[]]", b'{"a":}', b"\xff\xfe", b'"\x00"', b"nul", b'{"a": NaN}', b"[" * 500, b'"' + b"x" * 30_000 + b'"'])


@dataclass(frozen=True)
class Request:
    """``content`` is None where nothing is sent."""

    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes | None = None


@dataclass(frozen=True)
class Generator:
    """``known`` are ids that exist, by the names of the parameters and fields that take them."""

    document: Json
    known: Mapping[str, Sequence[str]]

    def requests(self, path: str, operation: Json) -> st.SearchStrategy[Request]:
        parameters = [self._resolved(one) for one in operation.get("parameters", ())]
        named: dict[str, list[Json]] = {"path": [], "query": [], "header": []}
        for parameter in parameters:
            named[parameter["in"]].append(parameter)
        return st.builds(
            Request,
            path=self._paths(path, named["path"]),
            query=self._queries(named["query"]),
            headers=self._headers(named["header"], has_body="requestBody" in operation),
            content=self._bodies(operation),
        )

    def _paths(self, path: str, parameters: Sequence[Json]) -> st.SearchStrategy[str]:
        values = {one["name"]: self._known(one["name"], SEGMENTS) for one in parameters}
        return st.fixed_dictionaries(values).map(
            lambda chosen: path.format(**{name: quote(text, safe="") for name, text in chosen.items()})
        )

    def _queries(self, parameters: Sequence[Json]) -> st.SearchStrategy[tuple[tuple[str, str], ...]]:
        optional = {one["name"]: self._known(one["name"], self.values(one["schema"], one["name"])) for one in parameters}
        right = st.fixed_dictionaries({}, optional=optional).map(
            lambda chosen: tuple((name, _text(value)) for name, value in chosen.items())
        )
        wrong = st.tuples(st.tuples(st.sampled_from(["dryRun", "dry_run", "limit", "cursor", "x"]), st.text(max_size=12)))
        return st.one_of(*[right] * 8, wrong)

    def _headers(self, parameters: Sequence[Json], *, has_body: bool) -> st.SearchStrategy[dict[str, str]]:
        visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300)
        optional = {one["name"]: visible for one in parameters if one["name"] != "Prefer"}
        # Nobody is there to carry an operation out: waiting for it would only take time.
        fixed = {"Accept": st.just("application/json"), "Prefer": st.sampled_from(["respond-async", "wait=0"])}
        if has_body:
            fixed["Content-Type"] = st.sampled_from(["application/json"] * 6 + ["application/json; charset=utf-8", "text/plain", "a/b"])
        return st.fixed_dictionaries(fixed, optional=optional)

    def _bodies(self, operation: Json) -> st.SearchStrategy[bytes | None]:
        if "requestBody" not in operation:
            return st.none()
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        right = self.values(body, "body")
        wrong = st.builds(_damaged, right, st.text(max_size=10), ANYTHING, st.integers(0, 3))
        written = st.one_of(*[right] * 8, wrong, wrong).map(lambda value: json.dumps(value).encode())
        return st.one_of(*[written] * 8, NO_JSON, st.none())

    def values(self, schema: Json, name: str) -> st.SearchStrategy[Any]:
        """What a schema allows; known ids where a field takes one."""
        schema = self._resolved(schema)
        branches = schema.get("anyOf") or schema.get("oneOf")
        if branches:
            return st.one_of(*(self.values(branch, name) for branch in branches))
        if "enum" in schema or "const" in schema:
            return st.sampled_from(schema.get("enum") or [schema["const"]])
        made: dict[str, Callable[[], st.SearchStrategy[Any]]] = {
            "string": lambda: self._known(name, _strings(schema)),
            "integer": lambda: st.integers(schema.get("minimum", -(2**33)), schema.get("maximum", 2**33)),
            "array": lambda: self._lists(schema, name),
            "object": lambda: self._objects(schema),
            "boolean": st.booleans,
            "null": st.none,
        }
        make = made.get(schema.get("type", ""))
        return make() if make is not None else ANYTHING

    def _lists(self, schema: Json, name: str) -> st.SearchStrategy[list[Any]]:
        shortest = schema.get("minItems", 0)
        return st.lists(self.values(schema.get("items", {}), name.removesuffix("s")), min_size=shortest, max_size=max(3, shortest))

    def _objects(self, schema: Json) -> st.SearchStrategy[dict[str, Any]]:
        if "properties" not in schema:
            return st.dictionaries(st.text(max_size=8), SCALARS, max_size=3)
        members = {name: self.values(member, name) for name, member in schema["properties"].items()}
        required = {name: members.pop(name) for name in schema.get("required", ())}
        return st.fixed_dictionaries(required, optional=members)

    def _known(self, name: str, otherwise: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        known = self.known.get(name)
        return st.one_of(st.sampled_from(known), st.sampled_from(known), otherwise) if known else otherwise

    def _resolved(self, schema: Json) -> Json:
        if "$ref" not in schema:
            return schema
        kind, name = schema["$ref"].split("/")[-2:]
        found: Json = self.document["components"][kind][name]
        return self._resolved(found)


def _strings(schema: Json) -> st.SearchStrategy[str]:
    shortest, longest = schema.get("minLength", 0), schema.get("maxLength", 10_000)
    if "pattern" in schema:
        return st.from_regex(schema["pattern"], fullmatch=True, alphabet=ASCII).filter(lambda text: shortest <= len(text) <= longest)
    if schema.get("format") == "date-time":
        return st.datetimes(timezones=st.just(UTC)).map(lambda moment: moment.isoformat())
    return st.text(TEXT, min_size=shortest, max_size=min(longest, max(shortest, 40)))


def _damaged(value: Any, name: str, junk: Any, how: int) -> Any:
    """A field too many, one too few, one of another kind, or something else altogether."""
    if not isinstance(value, dict) or how == 3:
        return junk
    if how == 0 or not value:
        return {**value, name: junk}
    victim = sorted(value)[len(name) % len(value)]
    return {key: member for key, member in value.items() if key != victim} | ({victim: junk} if how == 1 else {})


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
