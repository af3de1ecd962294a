"""Each request, answer and header of the document has an example that is what it claims to be; each parameter says what it is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

from api.app import _RESOURCES, create_app, create_services
from api.examples import NoExampleError, example
from api.schemas.answers import ErrorAnswer, One
from api.schemas.quotes import DryRunQuote
from docs.generate import OPENAPI
from tests.integration.api.conftest import settings

DOCUMENT: dict[str, Any] = json.loads(OPENAPI.read_text(encoding="utf-8"))
EXAMPLES = DOCUMENT["components"]["examples"]
OPERATIONS = {(method, path): operation for path, methods in DOCUMENT["paths"].items() for method, operation in methods.items()}
APP = create_app(create_services(settings("postgresql://nobody@127.0.0.1:1/none", "redis://127.0.0.1:1")))
DECLARED = {
    (route.method.lower(), "/api/v1" + route.path.replace(":path", "")): route
    for resource in _RESOURCES
    for route in resource.routes.declared
}


def shown(content: dict[str, Any]) -> list[Any]:
    return [EXAMPLES[one["$ref"].rsplit("/", 1)[1]]["value"] for one in content["examples"].values()]


def test_every_answer_has_an_example_of_its_shape() -> None:
    for place, operation in OPERATIONS.items():
        documented = DECLARED[place].documented
        for status, answer in operation["responses"].items():
            found = shown(answer["content"]["application/json"])
            assert found, (place, status)
            quote: Any = One[DryRunQuote]
            answered: Any = documented.shape | quote if status == "200" else documented.shape
            shape = TypeAdapter(answered if status < "300" or "`" not in answer["description"] else ErrorAnswer)
            for one in found:
                shape.validate_python(one, by_alias=True, by_name=False)
            for media in documented.media if status < "300" else ():
                assert answer["content"][media]["example"], (place, media)


def test_every_request_has_an_example_that_is_understood() -> None:
    routes = {(method.lower(), route.path): route for route in APP.routes if isinstance(route, APIRoute) for method in route.methods or ()}
    asked = [place for place, operation in OPERATIONS.items() if "requestBody" in operation]
    assert len(asked) > 30
    for place in asked:
        (found,) = shown(OPERATIONS[place]["requestBody"]["content"]["application/json"])
        (body,) = routes[place].dependant.body_params
        taken: Any = body.field_info.annotation
        TypeAdapter(taken).validate_python(found)


def test_every_parameter_and_header_is_described() -> None:
    for place, operation in OPERATIONS.items():
        for parameter in operation["parameters"]:
            assert "$ref" in parameter or parameter["description"], (place, parameter)
    for name, header in DOCUMENT["components"]["headers"].items():
        assert header["description"], name
        assert isinstance(header["example"], int if header["schema"]["type"] == "integer" else str), name


def test_examples_of_ids_are_of_their_kind() -> None:
    ids = re.findall(r'"(\w*[iI]d)": "([a-z]+)_', json.dumps(EXAMPLES))
    kinds = {"buyerId": "usr", "sellerId": "usr", "userId": "usr", "orderId": "ord", "operationId": "op", "eventId": "evt", "keyId": "key"}
    assert {(name, kind) for name, kind in ids if name in kinds} <= set(kinds.items())
    assert {"ord", "usr", "esc", "mst", "dsp", "wd", "op", "evt", "aud", "key", "whe", "whd"} <= {
        kind for name, kind in ids if name == "id"
    } | {"evt"}


def test_a_field_without_an_example_is_named() -> None:
    schema = {"type": "object", "properties": {"color": {"type": "string"}}}
    with pytest.raises(NoExampleError, match=r"Car\.color"):
        example({}, schema, owner="Car")
