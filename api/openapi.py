"""What the OpenAPI document says of every route beyond its path: answers, errors, headers, examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from api import problems
from api.examples import Json, example
from api.schemas.answers import ErrorAnswer, One
from api.schemas.quotes import DryRunQuote
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import CATALOGUE, payload_schema

_C = ErrorCode
_OF_ALL = (_C.VALIDATION_ERROR, _C.HEADERS_TOO_LARGE, _C.INTERNAL_ERROR)
_OF_AUTHENTICATED = (_C.UNAUTHORIZED, _C.INVALID_API_KEY, _C.INSUFFICIENT_SCOPE, _C.IP_NOT_ALLOWED, _C.PROVIDER_UNAVAILABLE)
_OF_CHANGING = (_C.PAYLOAD_TOO_LARGE, _C.UNSUPPORTED_MEDIA_TYPE, _C.IDEMPOTENCY_KEY_REUSED, _C.IDEMPOTENCY_KEY_IN_PROGRESS)
_STRING = {"type": "string"}
# What each says, and an example.
_HEADERS: Mapping[str, tuple[str, str | int]] = {
    "X-Request-ID": ("The request's id, sent or made; also the events' correlationId.", "req_01kg9q1m2n3p4q5r6s7t8v9w0x"),
    "Location": ("Where to read the resource or operation.", "/api/v1/operations/op_01kg9q1m2n3p4q5r6s7t8v9w0x"),
    "Retry-After": ("Seconds to wait before asking again.", 5),
    "X-RateLimit-Limit": ("Requests a minute; absent, like the next two, where the limit is off.", 100),
    "X-RateLimit-Remaining": ("Requests left in this minute.", 99),
    "X-RateLimit-Reset": ("When the next minute begins, in seconds since 1970.", 1_769_860_860),
    "Idempotent-Replayed": ("true when this answer was kept from an earlier request; else absent.", "true"),
    "WWW-Authenticate": ("The scheme to authenticate with.", "Bearer"),
}
# Of parameters in paths and queries, whatever the route; a model's own word on one comes first.
_SAID: Mapping[str, str] = {
    "limit": "How many to list.",
    "cursor": "The last id already seen: `nextCursor` of the page before.",
    "dry_run": "Check everything, write nothing, answer the quote.",
    "ref": "The milestone's `ref`.",
    "external_user_id": "Your own id of the user.",
    "metadata": "Only those with this metadata: `metadata[key]=value`.",
    "explain": "With the entries behind each figure.",
    "at": "The balance at this moment, everything of its millisecond included.",
    "from": "From this moment on.",
    "to": "Before this moment.",
    "createdAfter": "Created after this moment.",
    "createdBefore": "Created before this moment.",
    "format": "Wins over `Accept`.",
    "types": "Names of events, comma separated; `order.*` takes all that begin so.",
    "resourceTypes": "Kinds of resources (`aggregateType`) in any case, comma separated.",
}
_QUOTA = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")
_OF_REFUSAL = {401: ("WWW-Authenticate",), 429: ("Retry-After",), 503: ("Retry-After",)}
_MEANING = {
    200: "Done.",
    201: "Created.",
    202: "Accepted; follow the operation.",
    403: "Refused.",
    503: "Something that is needed is down.",
}
_CHAIN = (_C.ESCROW_REJECTED, _C.ESCROW_INSUFFICIENT_FUNDS, _C.STELLAR_NETWORK_ERROR, _C.PROVIDER_ERROR, _C.PROVIDER_TIMEOUT)


@dataclass(frozen=True)
class Documented:
    """``also`` are further statuses of the same shape (202 for operations), ``errors`` the codes of this route alone.

    ``media`` are the media types of the answer besides JSON, each with an example. ``quotes``: it answers ``?dryRun=true``,
    which goes without saying for what moves money. ``parameters`` are those that no field of a model stands for.
    """

    summary: str
    shape: type[Any]
    status: int = 200
    also: Sequence[int] = field(default=())
    errors: Sequence[ErrorCode] = field(default=())
    media: Mapping[str, str] = field(default_factory=dict)
    quotes: bool = False
    parameters: Sequence[Json] = field(default=())


def operation_route(summary: str, shape: type[Any], status: int, errors: Sequence[ErrorCode]) -> Documented:
    """A command that the chain carries out: 202 while it runs, and the chain's refusals."""
    return Documented(summary, shape, status, (202,), (*errors, *_CHAIN))


def responses(documented: Documented, method: str, *, public: bool, limited: bool) -> dict[int | str, dict[str, Any]]:
    codes = [*_OF_ALL, *documented.errors]
    codes += [] if public else _OF_AUTHENTICATED
    codes += [_C.RATE_LIMITED] if limited else []
    codes += _OF_CHANGING if method != "GET" else []
    answers: dict[int | str, dict[str, Any]] = {}
    always = ("X-Request-ID", *(_QUOTA if limited and not public else ()))
    for status in (documented.status, *documented.also):
        headers = (*always, *(("Location",) if status in (201, 202) else ()), *(("Idempotent-Replayed",) if method != "GET" else ()))
        answers[status] = {"model": documented.shape, "description": _MEANING[status], "headers": _referred("headers", headers)}
        if documented.media:
            answers[status]["content"] = {media: {"schema": _STRING, "example": text} for media, text in documented.media.items()}
    if documented.quotes:
        quoted: Any = One[DryRunQuote]
        shape = documented.shape | quoted if documented.status == 200 else quoted
        meaning = "Done; with `dryRun=true` the quote, and nothing done."
        headers = (*always, *(("Idempotent-Replayed",) if documented.status == 200 else ()))
        answers[200] = {"model": shape, "description": meaning, "headers": _referred("headers", headers)}
    for status in sorted({problems.status_of(code) for code in codes}):
        at_status = [code for code in dict.fromkeys(codes) if problems.status_of(code) == status]
        answers[status] = {
            "model": ErrorAnswer,
            "description": ", ".join(f"`{code}`" for code in at_status),
            "headers": _referred("headers", (*always, *_OF_REFUSAL.get(status, ()))),
            "content": {"application/json": {"examples": _referred("examples", at_status)}},
        }
    return answers


def _referred(kind: str, names: Sequence[str]) -> dict[str, Any]:
    return {str(name): {"$ref": f"#/components/{kind}/{name}"} for name in names}


def _example(code: ErrorCode) -> dict[str, Any]:
    return {"value": problems.envelope(DomainError(code, "Why it was refused."), "req_01hv8x")}


DESCRIPTION = f"""Payments for marketplaces: balances and escrow on Stellar.

Amounts are decimal strings. Every POST, PATCH and DELETE accepts `Idempotency-Key`; commands that reach the chain accept
`Prefer: wait=N` and `Prefer: respond-async`. All error codes: [{problems.DOCS_PATH}]({problems.DOCS_PATH}).
"""

SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, ohk_test_… or ohk_live_…, or a token, ohk_tok_…"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
_PARAMETERS = {
    "IdempotencyKey": ("Idempotency-Key", {"type": "string", "minLength": 1, "maxLength": 255}, "Same key, same request: same answer."),
    "RequestId": (
        "X-Request-ID",
        _STRING,
        "Your own id for this request: up to 128 of `A-Za-z0-9._:/+=@-`; another is made where it is not that.",
    ),
    "DryRun": ("dryRun", {"type": "boolean", "default": False}, "Check everything, write nothing, answer the quote."),
    "Prefer": ("Prefer", {"type": "string", "examples": ["wait=25", "respond-async"]}, "How long to wait for an operation (0-55 s)."),
}


def complete(document: dict[str, Any]) -> dict[str, Any]:
    """Add what holds for all routes: how to authenticate, and the headers every request may carry."""
    components = document.setdefault("components", {})
    components["securitySchemes"] = SECURITY_SCHEMES
    components["headers"] = {
        name: {"description": text, "schema": {"type": "integer" if isinstance(shown, int) else "string"}, "example": shown}
        for name, (text, shown) in _HEADERS.items()
    }
    components["examples"] = {code.value: _example(code) for code in ErrorCode}
    components["parameters"] = {
        name: {"name": header, "in": "query" if name == "DryRun" else "header", "required": False, "schema": schema, "description": text}
        for name, (header, schema, text) in _PARAMETERS.items()
    }
    for path in document["paths"].values():
        for method, operation in path.items():
            names = ["RequestId"] if method == "get" else ["RequestId", "IdempotencyKey"]
            names += ["DryRun"] if operation.get("x-quotes") else []
            names += ["Prefer"] if "202" in operation["responses"] else []
            own = operation.setdefault("parameters", [])
            for parameter in own:
                parameter.setdefault("description", _described(parameter))
            own.extend({"$ref": f"#/components/parameters/{name}"} for name in names)
            # FastAPI's own validation answer; ours is VALIDATION_ERROR with 400.
            shape = operation["responses"].get("422", {}).get("content", {}).get("application/json", {}).get("schema", {})
            if shape.get("$ref", "").endswith("HTTPValidationError"):
                del operation["responses"]["422"]
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    payloads = {f"{event_type}.payload": payload_schema(event_type) for event_type in CATALOGUE}
    schemas.update(payloads)
    schemas["Event"]["properties"]["payload"] = {"anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in payloads]}
    _add_examples(document)
    return document


def _described(parameter: Json) -> str:
    name: str = parameter["name"]
    if name in _SAID:
        return _SAID[name]
    return f"The {name.removesuffix('_id')}'s id." if parameter["in"] == "path" else f"Only those with this `{name}`."


def _add_examples(document: dict[str, Any]) -> None:
    """Of every body that is sent or answered in JSON; those of errors are there already."""
    components = document["components"]
    for path in document["paths"].values():
        for operation in path.values():
            bodies = [*operation["responses"].values(), *([operation["requestBody"]] if "requestBody" in operation else [])]
            contents = [body["content"]["application/json"] for body in bodies if "application/json" in body.get("content", {})]
            for content in contents:
                if "examples" in content:
                    continue
                branches = content["schema"].get("anyOf", [content["schema"]])
                names = [branch["$ref"].rsplit("/", 1)[1] for branch in branches if "$ref" in branch]
                for name in names:
                    components["examples"].setdefault(
                        name, {"value": example(components["schemas"], components["schemas"][name], "", name)}
                    )
                content["examples"] = _referred("examples", names)
