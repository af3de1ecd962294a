"""Commands that the chain carries out: waiting, not waiting, refusals, replays. The test plays the worker."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from api import following
from offerhub.commands.operations import book_operation, refuse_operation
from offerhub.domain.context import Context
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.plans import OperationKind
from offerhub.storage import operations, orders, users
from tests.integration.api.conftest import Api
from tests.integration.api.test_orders import UNIT, created, wish
from tests.integration.commands.market import SIGNER

NOW = {"Prefer": "wait=0"}


async def reserved(api: Api) -> dict[str, Any]:
    buyer, seller = await api.market.user(100 * UNIT), await api.market.user()
    order = await created(await api.client.post("/orders", json=wish(buyer.id, seller.id)))
    found: dict[str, Any] = await created(await api.client.post(f"/orders/{order['id']}/reserve"))
    return found


class Worker:
    """Carries operations out as the workflows would, against a chain that always agrees."""

    def __init__(self, api: Api) -> None:
        self._market = api.market

    async def finish(self, operation_id: str) -> None:
        operation = await self._market.operation(operation_id)
        async with self._market.database.reading() as reader:
            order = await orders.get(reader, operation.resource_id)
            assert order is not None
            buyer, seller = await users.get(reader, order.buyer_id), await users.get(reader, order.seller_id)
        assert buyer is not None
        assert seller is not None
        match OperationKind(operation.kind):
            case OperationKind.ESCROW_CREATION:
                await self._market.apply(await self._market.sign(operation_id, SIGNER))
            case OperationKind.ESCROW_FUNDING:
                moved = Movement(str(buyer.public_key), str(order.the_escrow.contract_id), order.amount)
                await self._market.apply(await self._market.sign(operation_id, str(buyer.public_key)), moved)
            case OperationKind.RELEASE:
                await self._market.apply(await self._market.sign(operation_id, str(seller.public_key)))
                await self._market.apply(await self._market.sign(operation_id, str(buyer.public_key)))
                payout = await self._market.sign(operation_id, str(buyer.public_key))
                contract = str(order.the_escrow.contract_id)
                parts = [(str(seller.public_key), 777_600_000), ("GPLATFORM", 20_000_000), ("GTRUSTLESS", 2_400_000)]
                await self._market.apply(payout, *(Movement(contract, address, amount) for address, amount in parts))
        async with self._market.database.transaction(self._context(operation_id)) as transaction:
            await book_operation(transaction, operation_id)

    async def refuse(self, operation_id: str, code: str) -> None:
        async with self._market.database.transaction(self._context(operation_id)) as transaction:
            await refuse_operation(
                transaction, Refusal(operation_id, "escrow_creation", code, "The contract refused.", {"contractError": "7"})
            )

    async def next_operation(self, order_id: str) -> str:
        for _ in range(6_000):
            async with self._market.database.reading() as reader:
                order = await orders.get(reader, order_id)
            if order is not None and order.operation_id:
                return order.operation_id
            await asyncio.sleep(0.01)
        raise AssertionError("no operation was accepted")

    @staticmethod
    def _context(operation_id: str) -> Context:
        return Context("system", "req_worker", operation_id=operation_id)


async def during(worker: Worker, order_id: str, request: Any) -> httpx.Response:
    """Send a request and let the worker finish its operation while it waits."""
    sent = asyncio.ensure_future(request)
    await worker.finish(await worker.next_operation(order_id))
    answer: httpx.Response = await sent
    return answer


async def _is_waited_for(api: Api, operation_id: str, by: int = 1) -> None:
    """Until so many requests wait for its outcome."""
    async with asyncio.timeout(60):
        while len(api.services.hub._waiting.get(operation_id, ())) < by:  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("relay")
async def test_escrow_funding_and_release_are_waited_for(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    path = f"/orders/{order['id']}"
    answer = await during(worker, order["id"], api.client.post(f"{path}/escrow"))
    assert answer.status_code == 201, answer.text
    assert (answer.json()["data"]["status"], answer.json()["data"]["escrow"]["status"]) == ("ESCROW_FUNDING", "CREATED")
    assert answer.json()["operation"]["status"] == "SUCCEEDED"
    answer = await during(worker, order["id"], api.client.post(f"{path}/escrow/fund"))
    assert (answer.status_code, answer.json()["data"]["status"]) == (200, "IN_PROGRESS")
    answer = await during(worker, order["id"], api.client.post(f"{path}/resolution/release", json={"requestedBy": "me"}))
    assert (answer.status_code, answer.json()["data"]["finalStatus"]) == (200, "RELEASED")
    second = await api.client.post(f"{path}/resolution/release")
    assert (second.status_code, second.json()["operation"]["id"]) == (200, answer.json()["operation"]["id"])
    seller = (await api.client.get(f"/balances/{order['sellerId']}")).json()
    assert seller["available"] == order["quote"]["sellerReceives"] == "77.76"


@pytest.mark.usefixtures("relay")
async def test_the_answer_is_woken_by_the_outcome(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """The poll comes too late to find anything but a promise."""
    monkeypatch.setattr(following, "_POLL_S", 3600.0)
    order, worker = await reserved(api), Worker(api)
    sent = asyncio.ensure_future(api.client.post(f"/orders/{order['id']}/escrow"))
    operation_id = await worker.next_operation(order["id"])
    await _is_waited_for(api, operation_id)
    await worker.finish(operation_id)
    assert (await sent).status_code == 201


async def test_without_relay_and_redis_the_poll_finds_the_outcome(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    answer = await during(worker, order["id"], api.client.post(f"/orders/{order['id']}/escrow"))
    assert answer.status_code == 201


@pytest.mark.parametrize("prefer", ["respond-async", "wait=0", "wait=1"])
async def test_what_is_still_running_is_promised(api: Api, prefer: str) -> None:
    order = await reserved(api)
    answer = await api.client.post(f"/orders/{order['id']}/escrow", headers={"Prefer": prefer})
    assert answer.status_code == 202
    operation = answer.json()["operation"]
    assert (answer.json()["data"]["status"], operation["status"]) == ("ESCROW_CREATING", "PENDING")
    assert answer.json()["data"]["operation"]["id"] == operation["id"]
    assert answer.headers["location"] == f"/api/v1/operations/{operation['id']}"
    assert (await api.client.get(f"/operations/{operation['id']}")).json()["data"]["status"] == "PENDING"
    listed = (await api.client.get("/operations", params={"resourceId": order["id"]})).json()["data"]
    assert [one["id"] for one in listed] == [operation["id"]]


async def test_a_refused_operation_is_an_error_and_a_failed_operation(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    sent = asyncio.ensure_future(api.client.post(f"/orders/{order['id']}/escrow"))
    operation_id = await worker.next_operation(order["id"])
    await worker.refuse(operation_id, "ESCROW_REJECTED")
    answer = await sent
    assert answer.status_code == 422
    assert answer.json()["error"]["code"] == "ESCROW_REJECTED"
    assert answer.json()["error"]["details"] == {"contractError": "7", "operationId": operation_id}
    assert (await api.client.get(f"/operations/{operation_id}")).json()["data"]["status"] == "FAILED"
    assert (await api.client.get(f"/orders/{order['id']}")).json()["data"]["status"] == "FUNDS_RESERVED"


async def test_how_an_operation_failed_is_final_for_its_key_whatever_the_code(api: Api) -> None:
    """As the page of error codes says: a new key begins another operation."""
    order, worker = await reserved(api), Worker(api)
    path, key = f"/orders/{order['id']}/escrow", {"Idempotency-Key": "escrow-1"}
    first = await api.client.post(path, headers=key | NOW)
    await worker.refuse(first.json()["operation"]["id"], "PROVIDER_ERROR")
    failed = [await api.client.post(path, headers=key) for _ in range(2)]
    assert {answer.status_code for answer in failed} == {502}
    another = await api.client.post(path, headers={"Idempotency-Key": "escrow-2"} | NOW)
    assert another.status_code == 202
    assert another.json()["operation"]["id"] != first.json()["operation"]["id"]
    page = (await api.client.get("/docs/errors")).text
    assert "remove the cause, then call again with a new Idempotency-Key" in page


async def test_a_promise_is_replayed_until_the_outcome_replaces_it(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    path, key = f"/orders/{order['id']}/escrow", {"Idempotency-Key": "escrow-1"}
    first = await api.client.post(path, headers=key | NOW)
    promised = await api.client.post(path, headers=key | NOW)
    assert (first.status_code, promised.status_code) == (202, 202)
    assert promised.headers["idempotent-replayed"] == "true"
    assert promised.json()["operation"]["id"] == first.json()["operation"]["id"]
    await worker.finish(first.json()["operation"]["id"])
    final = await api.client.post(path, headers=key | NOW)
    assert (final.status_code, final.json()["operation"]["status"]) == (201, "SUCCEEDED")
    assert (await api.client.post(f"/orders/{order['id']}/escrow/fund", headers=NOW)).status_code == 202
    kept = await api.client.post(path, headers=key | NOW)
    assert (kept.status_code, kept.json()) == (201, final.json()), "the outcome stays as it was, though the order went on"


async def test_a_replay_follows_the_operation_like_the_first_request(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    path, key = f"/orders/{order['id']}/escrow", {"Idempotency-Key": "escrow-1"}
    first = await api.client.post(path, headers=key | NOW)
    waiting = asyncio.ensure_future(api.client.post(path, headers=key))
    await _is_waited_for(api, first.json()["operation"]["id"])
    assert not waiting.done()
    await worker.finish(first.json()["operation"]["id"])
    assert (await waiting).status_code == 201


async def test_requests_that_wait_together_are_given_one_final_answer(api: Api) -> None:
    order, worker = await reserved(api), Worker(api)
    path, key = f"/orders/{order['id']}/escrow", {"Idempotency-Key": "escrow-1"}
    promised = await api.client.post(path, headers=key | NOW)
    waiting = []
    for number in range(1, 5):
        waiting.append(asyncio.ensure_future(api.client.post(path, headers=key)))
        # Each has read the promise before the next asks: at the same moment the key is in progress.
        await _is_waited_for(api, promised.json()["operation"]["id"], number)
    await worker.refuse(promised.json()["operation"]["id"], "ESCROW_REJECTED")
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {422}
    assert len({answer.json()["error"]["requestId"] for answer in answers}) == 1, "each made an answer of its own"
    kept = await api.client.post(path, headers=key)
    assert kept.json() == answers[0].json()


async def test_the_same_command_without_a_key_joins_the_running_operation(api: Api) -> None:
    order = await reserved(api)
    first, second = [await api.client.post(f"/orders/{order['id']}/escrow", headers=NOW) for _ in range(2)]
    assert first.json()["operation"]["id"] == second.json()["operation"]["id"]


async def test_waiting_holds_no_database_connection(api: Api) -> None:
    found = [await reserved(api) for _ in range(2)]
    many = [asyncio.ensure_future(api.client.post(f"/orders/{found[0]['id']}/escrow")) for _ in range(40)]
    operation_id = await Worker(api).next_operation(found[0]["id"])
    await _is_waited_for(api, operation_id, len(many))
    answer = await asyncio.wait_for(api.client.post(f"/orders/{found[1]['id']}/cancel"), 20)
    assert answer.status_code == 200
    async with api.services.database.reading() as reader:
        assert len(await operations.page(reader, operations.OperationFilter(), None, 10)) == 1
    await Worker(api).finish(operation_id)
    assert {waiting.status_code for waiting in await asyncio.gather(*many)} == {201}
