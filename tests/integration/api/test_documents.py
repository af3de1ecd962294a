"""The OpenAPI document, the table of codes and what is really answered are the same thing."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import httpx

from api import problems
from api.app import _RESOURCES
from api.problems import PROBLEMS
from api.schemas.answers import ErrorAnswer
from api.schemas.instance import DetailedHealth
from offerhub.commands.wallets import book_platform_account, record_wallets
from offerhub.domain.errors import ErrorCode
from offerhub.domain.events import CATALOGUE
from tests.integration.api.conftest import MASTER, Api, opened
from tests.integration.api.test_operations import NOW, reserved
from tests.integration.api.test_orders import created, parties, wish
from tests.integration.commands.market import wallet

# The codes of the contract's section 8 that exist in this release, with the framework's own.
CONTRACT = {
    400: "VALIDATION_ERROR INVALID_AMOUNT_FORMAT INVALID_CURRENCY",
    401: "UNAUTHORIZED INVALID_API_KEY",
    403: "INSUFFICIENT_SCOPE IP_NOT_ALLOWED BALANCE_CHANGE_NOT_ALLOWED",
    404: "NOT_FOUND USER_NOT_FOUND ORDER_NOT_FOUND ESCROW_NOT_FOUND MILESTONE_NOT_FOUND DISPUTE_NOT_FOUND OPERATION_NOT_FOUND "
    "DEPOSIT_NOT_FOUND WITHDRAWAL_NOT_FOUND API_KEY_NOT_FOUND WEBHOOK_ENDPOINT_NOT_FOUND WEBHOOK_DELIVERY_NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "USER_ALREADY_EXISTS FUNDS_ALREADY_RESERVED INVALID_STATE ESCROW_ALREADY_EXISTS ESCROW_NOT_READY ESCROW_ALREADY_FUNDED "
    "DISPUTE_ALREADY_OPEN IDEMPOTENCY_KEY_REUSED IDEMPOTENCY_KEY_IN_PROGRESS",
    413: "PAYLOAD_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "INSUFFICIENT_FUNDS ESCROW_INSUFFICIENT_FUNDS ESCROW_REJECTED WALLET_NOT_READY USER_SUSPENDED "
    "WITHDRAWAL_DESTINATION_INVALID LIMIT_EXCEEDED RESERVE_MISMATCH_AMOUNT",
    429: "RATE_LIMITED",
    431: "HEADERS_TOO_LARGE",
    500: "INTERNAL_ERROR",
    502: "PROVIDER_ERROR STELLAR_NETWORK_ERROR",
    503: "PROVIDER_UNAVAILABLE MAINTENANCE",
    504: "PROVIDER_TIMEOUT",
}


def test_every_code_has_the_status_of_the_contract() -> None:
    assert {str(code) for code in PROBLEMS} == {str(code) for code in ErrorCode}
    assert {code.value: problem.status for code, problem in PROBLEMS.items()} == {
        code: status for status, codes in CONTRACT.items() for code in codes.split()
    }


def test_every_docs_anchor_exists() -> None:
    anchors = set(re.findall(r'id="(\w+)"', problems.page()))
    assert {problem.docs.rpartition("#")[2] for problem in PROBLEMS.values()} == anchors


async def test_documents_are_public_and_in_both_places(api: Api) -> None:
    origin = api.url.removesuffix("/api/v1")
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
        documents = [(await client.get(f"{base}/openapi.json")).json() for base in (origin, api.url)]
        assert documents[0] == documents[1]
        for base, document in ((origin, "/openapi.json"), (api.url, "/api/v1/openapi.json")):
            assert document in (await client.get(f"{base}/docs")).text
            assert "INSUFFICIENT_FUNDS" in (await client.get(f"{base}/docs/errors")).text


async def test_the_document_knows_every_route_and_its_errors(api: Api) -> None:
    document = (await api.client.get("/openapi.json")).json()
    declared = {
        (route.method.lower(), "/api/v1" + route.path.replace(":path", "")) for resource in _RESOURCES for route in resource.routes.declared
    }
    documented = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert documented == declared
    operation_ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(operation_ids)) == len(operation_ids)
    release = document["paths"]["/api/v1/orders/{order_id}/resolution/release"]["post"]
    statuses = {200, 202, 400, 401, 403, 404, 409, 413, 415, 422, 429, 431, 500, 502, 503, 504}
    assert {str(status) for status in statuses} == set(release["responses"])
    assert release["responses"]["422"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/ErrorAnswer"}
    assert "Location" in release["responses"]["202"]["headers"]
    assert {"$ref": "#/components/parameters/Prefer"} in release["parameters"]
    missing = set(re.findall(r'"#/components/schemas/([^"]+)"', str(document).replace("'", '"'))) - set(document["components"]["schemas"])
    assert not missing
    payloads = {
        reference["$ref"].rsplit("/", 1)[1] for reference in document["components"]["schemas"]["Event"]["properties"]["payload"]["anyOf"]
    }
    assert payloads == {f"{event_type}.payload" for event_type in CATALOGUE}


def shape_of(method: str, path: str) -> Any:
    for resource in _RESOURCES:
        for route in resource.routes.declared:
            if route.method == method and re.fullmatch(re.sub(r"\{[\w:]+\}", "[^/]+", route.path), path):
                return route.documented.shape
    raise AssertionError(f"no route {method} {path}")


async def test_answers_have_exactly_the_documented_shape(api: Api) -> None:
    buyer, seller = await parties(api)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller, milestones=[{"ref": "a", "title": "t"}])))
    running = await reserved(api)
    promised = await api.client.post(f"/orders/{running['id']}/escrow", headers=NOW)
    deposit = (await api.client.get("/deposits")).json()["data"][0]["id"]
    withdrawal = (await api.market.withdraw(await api.market.user(100), 100)).withdrawal.id
    answers = [
        promised,
        await api.client.post("/users", json={"externalUserId": "shape"}),
        *[
            await api.client.get(path, headers={"Accept": "application/json"})
            for path in (
                *("/health", "/config", "/me", "/users", f"/users/{buyer}", f"/users/{buyer}/balance", f"/users/{buyer}/wallet"),
                *(f"/users/{buyer}/wallet/deposit", "/orders", f"/orders/{order['id']}", f"/orders/{running['id']}"),
                *(f"/orders/{order['id']}/milestones", "/operations", "/deposits", f"/deposits/{deposit}", "/events"),
                *("/withdrawals", f"/withdrawals/{withdrawal}"),
            )
        ],
    ]
    async with api.acting(MASTER) as master:
        answers.append(await master.post("/auth/api-keys", json={"name": "k", "scopes": ["read"]}))
        answers.append(await master.get("/auth/api-keys"))
    for answer in answers:
        assert answer.status_code < 300, answer.text
        path = answer.request.url.path.removeprefix("/api/v1")
        shape_of(answer.request.method, path).model_validate_json(answer.content, by_name=False, by_alias=True)
    refused = await api.client.get("/orders/ord_none")
    ErrorAnswer.model_validate_json(refused.content, by_name=False, by_alias=True)


async def test_health_names_what_is_missing(postgres_url: str, redis_url: str) -> None:
    listener = await asyncio.start_server(_speak_http, "127.0.0.1", 0)
    address = f"127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    there = {"horizon_url": f"http://{address}", "trustless_work_url": f"http://{address}/base", "temporal_address": address}
    async with opened(postgres_url, redis_url, **there) as api:
        answer = await api.client.get("/health/detailed")
        report = answer.json()["data"]
        DetailedHealth.model_validate(report)
        assert answer.status_code == 503, "the platform's own accounts are not ready"
        assert "FEE, SPONSOR" in report["checks"]["walletStock"]["message"]
        made = [wallet("SPONSOR", "GSPONSOR"), wallet("FEE", "GFEE")]
        async with api.market.command() as transaction:
            await record_wallets(transaction, made)
            for account in made:
                await book_platform_account(transaction, account.public_key)
        await asyncio.sleep(1.05)
        answer = await api.client.get("/health/detailed")
        assert (answer.status_code, answer.json()["data"]["status"]) == (200, "ok"), answer.text
        listener.close()
        await asyncio.sleep(1.05)
        answer = await api.client.get("/health/detailed")
        checks = answer.json()["data"]["checks"]
        assert (answer.status_code, answer.json()["data"]["status"]) == (200, "degraded")
        assert {name for name, check in checks.items() if check["status"] == "down"} == {"temporal", "horizon", "trustlessWork"}


async def _speak_http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
    writer.close()
