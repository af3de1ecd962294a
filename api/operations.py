"""Operations: follow what was asked of the chain."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query, Response

from api import present
from api.answers import ok, page
from api.auth import Scope
from api.call import CurrentCall
from api.openapi import Documented
from api.routing import Routes
from api.schemas.answers import One, Page
from api.schemas.operations import Operation, OperationQuery
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.storage import operations
from offerhub.storage.operations import OperationFilter

routes = Routes("Operations")
_GET = Documented("Read an operation", One[Operation], errors=(ErrorCode.OPERATION_NOT_FOUND,))


@routes.get("/operations", Scope.READ, Documented("List operations", Page[Operation]))
async def list_operations(call: CurrentCall, query: Annotated[OperationQuery, Query()]) -> Response:
    async with call.services.database.reading() as reader:
        found = await operations.page(reader, OperationFilter(query.resource_id, query.status), query.cursor, query.limit + 1)
    return page(found, query.limit, present.operation)


@routes.get("/operations/{operation_id}", Scope.READ, _GET)
async def get_operation(call: CurrentCall, operation_id: str) -> Response:
    async with call.services.database.reading() as reader:
        operation = await operations.get(reader, operation_id)
    if operation is None:
        details = {"operationId": operation_id[:64]}
        raise DomainError(ErrorCode.OPERATION_NOT_FOUND, f"There is no operation {operation_id[:64]}.", details)
    return ok(present.operation(operation))
