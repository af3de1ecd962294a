"""The committed document is what the API serves, says everything, and changes only in ways that break no client."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from docs import generate
from docs.compatibility import breaking_changes
from docs.generate import HOW_TO_ACCEPT, OPENAPI, openapi_page

COMMITTED: dict[str, Any] = json.loads(OPENAPI.read_text(encoding="utf-8"))
OPERATIONS = {
    f"{method.upper()} {path}": operation for path, methods in COMMITTED["paths"].items() for method, operation in methods.items()
}
SCHEMAS = COMMITTED["components"]["schemas"]
Change = Callable[[dict[str, Any]], object]


def test_the_api_breaks_no_client_of_the_committed_document() -> None:
    broken = breaking_changes(COMMITTED, json.loads(openapi_page()))
    assert broken == [], HOW_TO_ACCEPT


def test_the_committed_document_is_current() -> None:
    assert OPENAPI.read_text(encoding="utf-8") == openapi_page(), "run `make docs`"


def test_every_operation_is_named_described_and_authenticated() -> None:
    names = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(set(names)) == len(names) > 60
    for place, operation in OPERATIONS.items():
        assert operation["summary"], place
        assert operation["tags"], place
        assert operation["security"] or operation["x-required-scope"] == "public", place


def test_every_answer_names_its_headers_and_every_refusal_its_codes() -> None:
    for place, operation in OPERATIONS.items():
        for status, answer in operation["responses"].items():
            assert "X-Request-ID" in answer["headers"], (place, status)
            if status in {"201", "202"} and "webhook" not in place and "auth" not in place:
                assert "Location" in answer["headers"], (place, status)
            if status >= "400" and "application/json" in answer["content"]:
                content = answer["content"]["application/json"]
                codes = set(re.findall(r"`([A-Z_]+)`", answer["description"]))
                is_refusal = content["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
                assert set(content["examples"]) == codes if is_refusal else not codes, (place, status)
            if status in {"429", "503"} and "`" in answer["description"]:
                assert "Retry-After" in answer["headers"], (place, status)


def test_every_reference_leads_somewhere() -> None:
    for kind, name in re.findall(r'"#/components/(\w+)/([^"]+)"', json.dumps(COMMITTED)):
        assert name in COMMITTED["components"][kind], f"{kind}/{name}"


def test_every_field_of_a_request_says_what_it_takes() -> None:
    contents = [operation["requestBody"]["content"] for operation in OPERATIONS.values() if "requestBody" in operation]
    bodies = {name for content in contents for name in re.findall(r"schemas/(\w+)", json.dumps(content["application/json"]["schema"]))}
    assert len(bodies) > 20
    for body in bodies:
        for name, field in SCHEMAS[body].get("properties", {}).items():
            for one in field.get("anyOf", [field]):
                told = {"$ref", "enum", "const", "examples", "pattern", "format", "maxLength", "maximum", "items", "properties"}
                assert told & set(one) or one["type"] in {"null", "boolean", "object"}, f"{body}.{name}"


ORDERS = "/api/v1/orders"


def parameter(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in document["paths"][ORDERS]["get"]["parameters"] if one.get("name") == name)
    return found


def responses(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["paths"][ORDERS]["post"]["responses"]
    return found


def schema(document: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][name]
    return found


def field(document: dict[str, Any], name: str, member: str) -> dict[str, Any]:
    found: dict[str, Any] = schema(document, name)["properties"][member]
    return found


BREAKING: dict[str, Change] = {
    "a path is removed": lambda d: d["paths"].pop(ORDERS),
    "a method is removed": lambda d: d["paths"][ORDERS].pop("post"),
    "an operation is renamed": lambda d: d["paths"][ORDERS]["post"].update(operationId="makeOrder"),
    "another scope is needed": lambda d: d["paths"][ORDERS]["post"].update({"x-required-scope": "admin"}),
    "a public route wants a key": lambda d: d["paths"]["/api/v1/config"]["get"].update(security=[{"bearer": []}]),
    "a filter is removed": lambda d: d["paths"][ORDERS]["get"]["parameters"].remove(parameter(d, "buyerId")),
    "a filter is required": lambda d: parameter(d, "buyerId").update(required=True),
    "a new filter is required": lambda d: d["paths"][ORDERS]["get"]["parameters"].append(
        {"name": "x", "in": "query", "required": True, "schema": {"type": "string"}}
    ),
    "a page is shorter": lambda d: parameter(d, "limit")["schema"].update(maximum=50),
    "a filter takes no null": lambda d: parameter(d, "buyerId").update(schema={"type": "string", "minLength": 1, "maxLength": 64}),
    "a body is required": lambda d: d["paths"][f"{ORDERS}/{{order_id}}/cancel"]["post"]["requestBody"].update(required=True),
    "a request field is removed": lambda d: schema(d, "CreateOrderBody")["properties"].pop("metadata"),
    "a request field is required": lambda d: schema(d, "CreateOrderBody")["required"].append("metadata"),
    "a new request field is required": lambda d: (
        schema(d, "CreateOrderBody")["properties"].update(color={"type": "string"}),
        schema(d, "CreateOrderBody")["required"].append("color"),
    ),
    "a request field is shorter": lambda d: field(d, "CreateOrderBody", "title").update(maxLength=99),
    "a request field has another type": lambda d: field(d, "CreateOrderBody", "title").update(type="integer"),
    "a request field has another pattern": lambda d: field(d, "CreateOrderBody", "amount").update(pattern="^x$"),
    "a request enum loses a value": lambda d: schema(d, "Decision")["enum"].remove("SPLIT"),
    "a nested request field is required": lambda d: schema(d, "MilestoneBody")["required"].append("amount"),
    "an answer's field is removed": lambda d: schema(d, "Order")["properties"].pop("title"),
    "an answer's field may be missing": lambda d: schema(d, "Order")["required"].remove("title"),
    "an answer's field may be null": lambda d: field(d, "Order", "title").update(anyOf=[{"type": "string"}, {"type": "null"}]),
    "an answer's field has another type": lambda d: field(d, "Order", "title").update(type="integer"),
    "an answer's field has another form": lambda d: field(d, "Order", "createdAt").update(pattern=r"^\d+$"),
    "an answer's enum loses a value": lambda d: schema(d, "OrderState")["enum"].remove("DISPUTED"),
    "a nested answer's field is removed": lambda d: schema(d, "Milestone")["properties"].pop("evidence"),
    "a status is not answered any more": lambda d: responses(d).pop("409"),
    "a new success": lambda d: responses(d).update({"204": {"description": "Nothing.", "headers": {}}}),
    "a header is removed": lambda d: responses(d)["201"]["headers"].pop("Location"),
    "an answer comes in another form": lambda d: responses(d)["201"]["content"].update({"application/json": {"schema": {"type": "array"}}}),
    "an answer is no JSON any more": lambda d: responses(d)["201"]["content"].pop("application/json"),
}
ADDITIVE: dict[str, Change] = {
    "nothing": lambda _: None,
    "a new path": lambda d: d["paths"].update({"/api/v1/new": d["paths"][ORDERS]}),
    "a new optional filter": lambda d: d["paths"][ORDERS]["get"]["parameters"].append(
        {"name": "x", "in": "query", "required": False, "schema": {"type": "string"}}
    ),
    "a new optional request field": lambda d: schema(d, "CreateOrderBody")["properties"].update(color={"type": "string"}),
    "a required request field becomes optional": lambda d: schema(d, "CreateOrderBody")["required"].remove("title"),
    "a longer request field": lambda d: field(d, "CreateOrderBody", "title").update(maxLength=200),
    "a request field that may be null": lambda d: field(d, "CreateOrderBody", "title").update(anyOf=[{"type": "string"}, {"type": "null"}]),
    "a new field of an answer": lambda d: schema(d, "Order")["properties"].update(color={"type": "string"}),
    "a new value of an answer's enum": lambda d: schema(d, "OrderState")["enum"].append("PAUSED"),
    "a new refusal": lambda d: responses(d).update({"418": {"description": "`X`", "headers": {}}}),
    "a new header": lambda d: responses(d)["201"]["headers"].update({"X-New": {"schema": {"type": "string"}}}),
    "another description": lambda d: d["paths"][ORDERS]["post"].update(description="Better said."),
    "a schema is renamed": lambda d: _rename(d, "Milestone", "OrderMilestone"),
}


def _rename(document: dict[str, Any], old: str, new: str) -> None:
    renamed = json.loads(json.dumps(document).replace(f'schemas/{old}"', f'schemas/{new}"'))
    renamed["components"]["schemas"][new] = renamed["components"]["schemas"].pop(old)
    document.clear()
    document.update(renamed)


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_a_client_is_found(name: str) -> None:
    changed = copy.deepcopy(COMMITTED)
    BREAKING[name](changed)
    assert breaking_changes(COMMITTED, changed), name


@pytest.mark.parametrize("name", ADDITIVE)
def test_what_only_adds_is_let_through(name: str) -> None:
    changed = copy.deepcopy(COMMITTED)
    ADDITIVE[name](changed)
    assert breaking_changes(COMMITTED, changed) == []


def test_a_breaking_change_is_written_only_when_it_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reference").mkdir()
    page = tmp_path / "reference" / "openapi.json"
    monkeypatch.setattr(generate, "PAGES", tmp_path)
    monkeypatch.setattr(generate, "OPENAPI", page)
    promised = copy.deepcopy(COMMITTED)
    promised["paths"]["/api/v1/promised"] = promised["paths"][ORDERS]
    page.write_text(json.dumps(promised))
    with pytest.raises(SystemExit, match=r"GET /api/v1/promised: removed(.|\n)*BREAKING=accepted"):
        generate.main([])
    assert json.loads(page.read_text()) == promised
    generate.main(["--accept-breaking-changes"])
    assert json.loads(page.read_text())["paths"].keys() == COMMITTED["paths"].keys()
    assert (tmp_path / "reference" / "events.md").exists()
