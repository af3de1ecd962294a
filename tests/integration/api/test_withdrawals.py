"""Withdrawals over HTTP, the destination being looked at on a real (sandbox) network. The test plays the worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from stellar_sdk import Keypair, MuxedAccount, StrKey

from api.schemas.withdrawals import BareWithdrawal, WithdrawalWithOperation
from offerhub.commands.withdrawals import book_withdrawal, refuse_withdrawal
from offerhub.domain.messages import Movement, Refusal
from offerhub.storage.users import UserRecord
from tests.e2e.outside import OutsideAccount
from tests.integration.api.conftest import Api, opened
from tests.services import SandboxServer

UNIT = 10_000_000
NOW = {"Prefer": "wait=0"}


@pytest.fixture
async def api(postgres_url: str, redis_url: str, sandbox: SandboxServer) -> AsyncIterator[Api]:
    async with opened(
        postgres_url, redis_url, horizon_url=sandbox.url, usdc_issuer=sandbox.environment["USDC_ISSUER"], min_withdrawal="0.50"
    ) as running:
        yield running


@pytest.fixture
async def outside(sandbox: SandboxServer) -> OutsideAccount:
    return await OutsideAccount.open(sandbox)


@pytest.fixture
async def user(api: Api) -> UserRecord:
    return await api.market.user(100 * UNIT)


def wish(user: UserRecord, address: str, **more: Any) -> dict[str, Any]:
    return {"userId": user.id, "amount": "30.00", "destinationType": "crypto", "destinationRef": address, **more}


async def carried_out(api: Api, user: UserRecord, operation_id: str, address: str) -> None:
    attempt = await api.market.sign_withdrawal(operation_id, str(user.public_key))
    await api.market.apply(attempt, Movement(str(user.public_key), address, 30 * UNIT))
    async with api.market.command() as transaction:
        await book_withdrawal(transaction, operation_id)


async def refused(api: Api, body: dict[str, Any], status: int, code: str) -> dict[str, Any]:
    answer = await api.client.post("/withdrawals", json=body, headers=NOW)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    listed = await api.client.get("/withdrawals")
    assert listed.json()["data"] == [], "nothing was accepted"
    error: dict[str, Any] = answer.json()["error"]
    return error


async def test_accepted_followed_and_read(api: Api, user: UserRecord, outside: OutsideAccount) -> None:
    wanted = wish(user, outside.address, memo="7", memoType="id", description="May")
    promised = await api.client.post("/withdrawals", json=wanted, headers=NOW)
    body = promised.json()
    assert promised.status_code == 202, promised.text
    WithdrawalWithOperation.model_validate_json(promised.content, by_name=False, by_alias=True)
    assert promised.headers["location"] == f"/api/v1/operations/{body['operation']['id']}"
    assert (body["status"], body["operation"]["kind"], body["operationId"]) == (
        "WITHDRAWAL_COMMITTED",
        "withdrawal",
        body["operation"]["id"],
    )
    shown = {"amount": "30.00", "destinationType": "crypto", "destinationRef": outside.address, "memo": "7", "memoType": "id"}
    assert {name: body[name] for name in shown} == shown
    balance = (await api.client.get(f"/users/{user.id}/balance")).json()
    assert (balance["available"], balance["inTransit"], balance["total"]) == ("70.00", "30.00", "100.00")
    wallet = (await api.client.get(f"/users/{user.id}/wallet")).json()["data"]
    assert wallet["balance"]["usdc"] == "100.00", "the chain still has it"
    await carried_out(api, user, body["operation"]["id"], outside.address)
    read = await api.client.get(f"/withdrawals/{body['id']}")
    BareWithdrawal.model_validate_json(read.content, by_name=False, by_alias=True)
    assert read.json()["data"] == {name: value for name, value in read.json().items() if name not in {"data", "success"}}
    assert (read.json()["status"], len(read.json()["transactionHash"])) == ("WITHDRAWAL_COMPLETED", 64)
    balance = (await api.client.get(f"/users/{user.id}/balance")).json()
    assert (balance["available"], balance["inTransit"], balance["total"]) == ("70.00", "0.00", "70.00")


async def test_waited_for_it_is_created_and_refused_it_is_an_error(api: Api, user: UserRecord, outside: OutsideAccount) -> None:
    sent = asyncio.ensure_future(api.client.post("/withdrawals", json=wish(user, outside.address, commit=True)))
    first = await _accepted(api)
    await carried_out(api, user, first["operationId"], outside.address)
    answer = await sent
    assert (answer.status_code, answer.json()["status"]) == (201, "WITHDRAWAL_COMPLETED"), answer.text
    assert answer.headers["location"] == f"/api/v1/withdrawals/{first['id']}"
    sent = asyncio.ensure_future(api.client.post("/withdrawals", json=wish(user, outside.address)))
    second = await _accepted(api, after=first["id"])
    async with api.market.command() as transaction:
        sentence = "The ledger refused the transaction: op_no_trust."
        await refuse_withdrawal(transaction, Refusal(second["operationId"], "withdrawal", "WITHDRAWAL_DESTINATION_INVALID", sentence))
    answer = await sent
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "WITHDRAWAL_DESTINATION_INVALID")
    failed = (await api.client.get(f"/withdrawals/{second['id']}")).json()
    assert (failed["status"], failed["failure"]["message"]) == ("WITHDRAWAL_FAILED", sentence)
    by_status = (await api.client.get("/withdrawals", params={"userId": user.id, "status": "WITHDRAWAL_FAILED"})).json()
    assert [one["id"] for one in by_status["data"]] == [second["id"]]
    page = (await api.client.get("/withdrawals", params={"limit": 1})).json()
    assert (page["hasMore"], page["nextCursor"]) == (True, second["id"])
    rest = (await api.client.get("/withdrawals", params={"cursor": page["nextCursor"]})).json()
    assert [one["id"] for one in rest["data"]] == [first["id"]]


async def test_a_repeated_request_is_answered_whatever_became_of_the_destination(
    api: Api, user: UserRecord, outside: OutsideAccount
) -> None:
    """Otherwise a client could take the refusal of its repetition for the fate of its withdrawal, and send another one."""
    headers = {"Idempotency-Key": "withdraw-1", **NOW}
    first = await api.client.post("/withdrawals", json=wish(user, outside.address), headers=headers)
    await outside.set_limit(0)
    again = await api.client.post("/withdrawals", json=wish(user, outside.address), headers=headers)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert again.headers["idempotent-replayed"] == "true"
    await carried_out(api, user, first.json()["operationId"], outside.address)
    final = await api.client.post("/withdrawals", json=wish(user, outside.address), headers=headers)
    assert (final.status_code, final.json()["status"]) == (201, "WITHDRAWAL_COMPLETED")
    other = await api.client.post("/withdrawals", json=wish(user, outside.address, amount="31.00"), headers=headers)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "IDEMPOTENCY_KEY_REUSED")
    assert len((await api.client.get("/withdrawals")).json()["data"]) == 1


async def test_refusals_are_kept_for_the_key_but_an_unreachable_network_is_not(
    postgres_url: str, redis_url: str, sandbox: SandboxServer, outside: OutsideAccount
) -> None:
    async with opened(postgres_url, redis_url) as api:
        user = await api.market.user(100 * UNIT)
        headers = {"Idempotency-Key": "withdraw-2", **NOW}
        answer = await api.client.post("/withdrawals", json=wish(user, outside.address), headers=headers)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "PROVIDER_UNAVAILABLE")
        assert (await api.market.balance(user))[0] == 100 * UNIT
        assert (
            "idempotent-replayed" not in (await api.client.post("/withdrawals", json=wish(user, outside.address), headers=headers)).headers
        )
        contract = StrKey.encode_contract(bytes(32))
        answers = [
            await api.client.post("/withdrawals", json=wish(user, contract), headers=headers | {"Idempotency-Key": "k"}) for _ in "ab"
        ]
        assert [one.status_code for one in answers] == [422, 422]
        assert answers[1].headers["idempotent-replayed"] == "true"
        assert answers[0].json() == answers[1].json()


async def test_destinations_on_the_network(api: Api, user: UserRecord, sandbox: SandboxServer, outside: OutsideAccount) -> None:
    untrusting, tight, exchange = [await OutsideAccount.open(sandbox, limit) for limit in (0, 29 * UNIT, 100 * UNIT)]
    await exchange.require_memo()
    code = "WITHDRAWAL_DESTINATION_INVALID"
    muxed = MuxedAccount(outside.address, 7).account_muxed or ""
    for address, sentence in {
        Keypair.random().public_key: "no such account",
        untrusting.address: "no trustline",
        tight.address: "29.00 USDC more",
        exchange.address: "SEP-29",
        sandbox.environment["USDC_ISSUER"]: "issuer",
        muxed: "Muxed",
        StrKey.encode_contract(bytes(32)): "Contracts",
        outside.address[:-1] + ("A" if outside.address[-1] != "A" else "B"): "not an address",
        Keypair.random().secret: "not an address",
    }.items():
        assert sentence in (await refused(api, wish(user, address), 422, code))["message"], address
    freeze = {"kind": "freeze_trustline", "account": outside.address, "asset": f"USDC:{sandbox.environment['USDC_ISSUER']}"}
    async with httpx.AsyncClient(timeout=60) as client:
        fault = (await client.post(f"{sandbox.url}/control/faults", json=freeze)).raise_for_status().json()
        assert "does not let" in (await refused(api, wish(user, outside.address), 422, code))["message"]
        (await client.delete(f"{sandbox.url}/control/faults/{fault['id']}")).raise_for_status()
    accepted = await api.client.post("/withdrawals", json=wish(user, exchange.address, memo="me"), headers=NOW)
    assert (accepted.status_code, accepted.json()["memoType"]) == (202, "text")


async def test_requests_that_make_no_sense(api: Api, user: UserRecord, outside: OutsideAccount) -> None:
    right = wish(user, outside.address)
    for more in (
        {"destinationType": "bank"},
        {"destinationType": "airtm_balance"},
        {"memo": "ü" * 15},
        {"memo": ""},
        {"memo": "1.5", "memoType": "id"},
        {"memo": "07", "memoType": "id"},
        {"memo": str(2**64), "memoType": "id"},
        {"memo": "ab" * 31, "memoType": "hash"},
        {"memo": "zz" * 32, "memoType": "return"},
        {"memoType": "text"},
        {"memo": "x", "memoType": "none"},
        {"commit": False},
        {"destinationRef": ""},
        {"userId": None},
        {"callbackUrl": "https://example.com"},
    ):
        await refused(api, right | more, 400, "VALIDATION_ERROR")
    await refused(api, right | {"amount": "30"}, 400, "INVALID_AMOUNT_FORMAT")
    await refused(api, right | {"currency": "EUR"}, 400, "INVALID_CURRENCY")
    await refused(api, right | {"userId": "usr_none"}, 404, "USER_NOT_FOUND")
    await refused(api, right | {"amount": "100.0000001"}, 422, "INSUFFICIENT_FUNDS")
    assert (await refused(api, right | {"amount": "0.4999999"}, 422, "LIMIT_EXCEEDED"))["details"] == {"minimum": "0.50"}
    missing = await api.client.get("/withdrawals/wd_none")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "WITHDRAWAL_NOT_FOUND")


async def test_other_spellings_mean_the_same(api: Api, user: UserRecord, outside: OutsideAccount) -> None:
    body = {"user_id": user.id, "amount": "1.00", "currency": "USD", "destination_type": "stellar", "destination": outside.address}
    answer = await api.client.post("/withdrawals", json=body | {"memo": "AB" * 32, "memo_type": "hash"}, headers=NOW)
    assert (answer.status_code, answer.json()["destinationType"], answer.json()["memo"]) == (202, "crypto", "ab" * 32), answer.text


async def _accepted(api: Api, after: str = "") -> dict[str, Any]:
    for _ in range(3_000):
        found: list[dict[str, Any]] = (await api.client.get("/withdrawals")).json()["data"]
        if found and found[0]["id"] > after:
            return found[0]
        await asyncio.sleep(0.02)
    raise AssertionError("no withdrawal was accepted")
