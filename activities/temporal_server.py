"""Reach Temporal and make sure that our namespace and search attributes are there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest, ListSearchAttributesRequest
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import GrpcCompression, RPCError, RPCStatusCode

from offerhub.telemetry.logs import get_logger

SEARCH_ATTRIBUTES = Path(__file__).parent.parent / "temporal-config" / "search-attributes.json"
RETENTION = timedelta(days=30)
_FIRST_RETRY_S = 0.3
_SLOWEST_RETRY_S = 5.0
_log = get_logger(__name__)


async def connect(address: str, namespace: str, stop: asyncio.Event) -> Client | None:
    """Try until Temporal answers and is set up for us; None when asked to stop before that."""
    pause_s = _FIRST_RETRY_S
    while not stop.is_set():
        try:
            # Compression costs more than it saves between neighbours.
            client = await Client.connect(address, namespace=namespace, grpc_compression=GrpcCompression.NONE)
            await _ensure_namespace(client, namespace)
            await _ensure_search_attributes(client, namespace)
        except (RPCError, RuntimeError, OSError) as error:
            _log.warning("temporal.not_ready", address=address, error=str(error)[:300], retry_in_s=pause_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause_s)
            pause_s = min(pause_s * 2, _SLOWEST_RETRY_S)
        else:
            return client
    return None


async def _ensure_namespace(client: Client, namespace: str) -> None:
    try:
        await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace=namespace))
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        retention = Duration(seconds=int(RETENTION.total_seconds()))
        request = RegisterNamespaceRequest(namespace=namespace, workflow_execution_retention_period=retention)
        with _made_meanwhile():
            await client.workflow_service.register_namespace(request)
        raise RuntimeError(f"namespace {namespace} was just registered") from None


async def _ensure_search_attributes(client: Client, namespace: str) -> None:
    wanted: dict[str, str] = json.loads(SEARCH_ATTRIBUTES.read_text())
    known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace=namespace))
    missing = {name: kind for name, kind in wanted.items() if name not in known.custom_attributes}
    if missing:
        types = {name: IndexedValueType.Value(f"INDEXED_VALUE_TYPE_{kind.upper()}") for name, kind in missing.items()}
        with _made_meanwhile():
            await client.operator_service.add_search_attributes(AddSearchAttributesRequest(namespace=namespace, search_attributes=types))


@contextmanager
def _made_meanwhile() -> Iterator[None]:
    """Another worker may do the same at the same moment."""
    try:
        yield
    except RPCError as error:
        if error.status is not RPCStatusCode.ALREADY_EXISTS:
            raise
