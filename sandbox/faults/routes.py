"""The control API of faults."""

from __future__ import annotations

from typing import Any, get_args

import orjson
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sandbox.faults.board import FaultBoard
from sandbox.faults.kind import FaultKind
from sandbox.faults.kinds import KINDS


def fault_routes(board: FaultBoard) -> list[Route]:
    faults = _Faults(board)
    return [
        Route("/control/faults", faults.add, methods=["POST"]),
        Route("/control/faults", faults.show, methods=["GET"]),
        Route("/control/faults", faults.remove, methods=["DELETE"]),
        Route("/control/faults/kinds", _kinds, methods=["GET"]),
        Route("/control/faults/{id}", faults.remove, methods=["DELETE"]),
    ]


class _Faults:
    def __init__(self, board: FaultBoard) -> None:
        self._board = board

    async def add(self, request: Request) -> Response:
        try:
            body = orjson.loads(await request.body())
        except orjson.JSONDecodeError:
            return _refused("the body must be JSON")
        if not isinstance(body, dict):
            return _refused("the body must be a JSON object")
        name = body.pop("kind", None)
        kind = KINDS.get(name) if isinstance(name, str) else None
        if kind is None:
            return _refused("unknown kind")
        try:
            settings = kind.model_validate(body)
        except ValidationError as error:
            problems = error.errors(include_url=False)
            return _refused("; ".join(f"{'.'.join(map(str, each['loc'])) or 'body'}: {each['msg']}" for each in problems))
        fault = self._board.add(str(name), settings)
        return _answer({"id": fault.id}, 201)

    async def show(self, _request: Request) -> Response:
        return _answer(
            {
                "active": [fault.document() for fault in self._board.active],
                "spent": [fault.document() for fault in self._board.spent],
            }
        )

    async def remove(self, request: Request) -> Response:
        wanted = request.path_params.get("id")
        removed = self._board.remove(wanted)
        if wanted is not None and not removed:
            return _answer({"error": "no such fault"}, 404)
        return _answer({"removed": [fault.document() for fault in removed]})


async def _kinds(_request: Request) -> Response:
    return _answer({"kinds": {name: _reference(kind) for name, kind in KINDS.items()}})


def _reference(kind: type[FaultKind]) -> dict[str, Any]:
    fields = {field.alias or name: _field(field) for name, field in kind.model_fields.items()}
    path: str | None = getattr(kind, "default_path", None)
    if path is not None:
        fields["path"]["default"] = path
    return {"about": " ".join((kind.__doc__ or "").split()), "fields": fields}


def _field(field: FieldInfo) -> dict[str, Any]:
    choices = [choice for choice in get_args(field.annotation) if isinstance(choice, str)]
    shown: dict[str, Any] = {"required": True} if field.is_required() else {"default": field.default}
    about = {} if field.description is None else {"about": field.description}
    return shown | about | ({"choices": choices} if choices else {})


def _refused(error: str) -> Response:
    return _answer({"error": error, "kinds": list(KINDS)}, 400)


def _answer(document: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
