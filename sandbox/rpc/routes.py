"""The JSON-RPC 2.0 endpoint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from stellar_sdk import xdr

from sandbox.horizon.parameters import base_url
from sandbox.ledger.header import PROTOCOL_VERSION
from sandbox.ledger.history import fetch_ledger
from sandbox.ledger.ledger import Ledger
from sandbox.rpc.close_meta import close_meta_xdr
from sandbox.rpc.entries import find_entry

PATH = "/rpc"
MAX_KEYS = 200
_PARSE_ERROR, _INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32700, -32600, -32601, -32602
Method = Callable[[dict[str, Any], Request], dict[str, Any]]


class RpcError(Exception):
    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


def rpc_routes(ledger: Ledger) -> list[Route]:
    methods = _Methods(ledger)
    by_name: dict[str, Method] = {
        "getHealth": methods.health,
        "getNetwork": methods.network,
        "getLatestLedger": methods.latest_ledger,
        "getLedgerEntries": methods.ledger_entries,
    }

    async def call(request: Request) -> Response:
        identifier = None
        try:
            document = _document(await request.body())
            identifier = document.get("id")
            answer: dict[str, Any] = {"result": _method(document, by_name)(_parameters(document), request)}
        except RpcError as error:
            answer = {"error": {"code": error.code, "message": str(error)}}
        return Response(orjson.dumps({"jsonrpc": "2.0", "id": identifier, **answer}), media_type="application/json")

    return [Route(PATH, call, methods=["POST"])]


def _document(body: bytes) -> dict[str, Any]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise RpcError(_PARSE_ERROR, "Parse error") from None
    if not isinstance(document, dict):
        raise RpcError(_INVALID_REQUEST, "Invalid Request")
    return document


def _method(document: dict[str, Any], methods: dict[str, Method]) -> Method:
    name = document.get("method")
    if document.get("jsonrpc") != "2.0" or not isinstance(name, str):
        raise RpcError(_INVALID_REQUEST, "Invalid Request")
    if name not in methods:
        raise RpcError(_NO_METHOD, "method not found")
    return methods[name]


def _parameters(document: dict[str, Any]) -> dict[str, Any]:
    parameters = document.get("params") or {}
    if not isinstance(parameters, dict):
        raise RpcError(_INVALID_PARAMS, "parameters must be given by name")
    return parameters


class _Methods:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def health(self, _parameters: dict[str, Any], _request: Request) -> dict[str, Any]:
        """All of history is kept, so the window is always as long as the history."""
        latest = self._ledger.latest_ledger
        return {
            "status": "healthy",
            "latestLedger": latest,
            "latestLedgerCloseTime": str(self._record(latest)["closed_at_unix"]),
            "oldestLedger": 1,
            "oldestLedgerCloseTime": str(self._record(1)["closed_at_unix"]),
            "ledgerRetentionWindow": latest,
        }

    def network(self, _parameters: dict[str, Any], request: Request) -> dict[str, Any]:
        return {
            "friendbotUrl": f"{base_url(request)}/friendbot",
            "passphrase": self._ledger.network_passphrase,
            "protocolVersion": PROTOCOL_VERSION,
        }

    def latest_ledger(self, _parameters: dict[str, Any], _request: Request) -> dict[str, Any]:
        record = self._record(self._ledger.latest_ledger)
        return {
            "id": record["hash"],
            "protocolVersion": record["protocol_version"],
            "sequence": record["sequence"],
            "closeTime": str(record["closed_at_unix"]),
            "headerXdr": record["header_xdr"],
            "metadataXdr": close_meta_xdr(self._ledger.store, record),
        }

    def ledger_entries(self, parameters: dict[str, Any], _request: Request) -> dict[str, Any]:
        """Keys without an entry are left out of the answer."""
        keys = parameters.get("keys")
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise RpcError(_INVALID_PARAMS, "keys must be an array of strings")
        if len(keys) > MAX_KEYS:
            raise RpcError(_INVALID_PARAMS, f"key count ({len(keys)}) exceeds maximum supported ({MAX_KEYS})")
        if parameters.get("xdrFormat", "base64") not in ("", "base64"):
            raise RpcError(_INVALID_PARAMS, "this endpoint knows the xdrFormat base64 only")
        found = [(key, find_entry(self._ledger, _ledger_key(key))) for key in keys]
        entries = [
            {"key": key, "xdr": entry.data.to_xdr(), "lastModifiedLedgerSeq": entry.last_modified_ledger}
            for key, entry in found
            if entry is not None
        ]
        return {"entries": entries, "latestLedger": self._ledger.latest_ledger}

    def _record(self, sequence: int) -> dict[str, Any]:
        record = fetch_ledger(self._ledger.store, sequence)
        assert record is not None
        return record


def _ledger_key(text: str) -> xdr.LedgerKey:
    try:
        return xdr.LedgerKey.from_xdr(text)
    except (ValueError, EOFError) as error:
        raise RpcError(_INVALID_PARAMS, f"cannot unmarshal key value {text}") from error
