"""What the existing client sends and reads, call by call, without the client: its paths, spellings and habits, over HTTP.

Its habits: query parameters and orders in snake_case, POSTs without a body send none at all, balances and withdrawals are read at the top
level and everything else under ``data``, and a request is repeated as it was after 408, 413, 429, 500, 502, 503 and 504.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from decimal import Decimal
from typing import Any

import httpx
import pytest

from api.problems import PROBLEMS
from offerhub.domain.errors import ErrorCode, Retry
from tests.contract.conftest import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPEATED = {408, 413, 429, 500, 502, 503, 504}
TIMEOUT_S = 30
Resource = dict[str, Any]
# What the client declares of every resource as never missing, beside the resources inside of it.
ALWAYS: dict[str, set[str]] = {
    "user": {"id", "externalUserId", "type", "createdAt", "updatedAt"},
    "wallet": {"publicKey", "type", "provider", "isActive", "isPrimary", "balance", "createdAt"},
    "deposit": {"provider", "method", "address", "asset", "network", "instructions"},
    "transaction": {"id", "type", "from", "to", "amount", "asset", "createdAt", "hash", "successful"},
    "balance": {"available", "reserved", "currency", "userId", "updatedAt"},
    "order": {"id", "buyerId", "sellerId", "amount", "currency", "status", "title", "createdAt", "updatedAt"},
    "milestone": {"id", "orderId", "ref", "description", "status", "createdAt", "updatedAt"},
    "escrow": {"id", "orderId", "amount", "currency", "status", "createdAt", "updatedAt"},
    "dispute": {"id", "orderId", "openedBy", "reason", "status", "createdAt", "updatedAt"},
    "withdrawal": {"id", "userId", "amount", "currency", "status", "createdAt", "updatedAt"},
}


def whole(kind: str, resource: Resource) -> Resource:
    """The resource, once it has all that the client reads of it without looking whether it is there."""
    missing = {name for name in ALWAYS[kind] if resource.get(name) is None}
    assert not missing, f"{kind} without {missing}: {resource}"
    for inside in ("wallet", "escrow", "dispute"):
        if resource.get(inside):
            whole(inside, resource[inside])
    for milestone in resource.get("milestones", ()):
        whole("milestone", milestone)
    return resource


class Client:
    def __init__(self, deployment: Deployment, **headers: str) -> None:
        headers = {"Authorization": f"Bearer {deployment.api_key}", "User-Agent": "OfferHub-SDK/0.0.0", **headers}
        self.deployment = deployment
        self.http = httpx.AsyncClient(base_url=deployment.api_url, headers=headers, timeout=TIMEOUT_S, trust_env=False)

    async def get(self, path: str, **query: str) -> Resource:
        answer = await self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def post(self, path: str, body: Resource | None = None) -> Resource:
        answer = await (self.http.post(path) if body is None else self.http.post(path, json=body))
        assert answer.status_code in (200, 201), answer.text
        return dict(answer.json())

    async def user(self, kind: str) -> str:
        wish = {"externalUserId": uuid.uuid4().hex, "email": "someone@example.com", "type": kind}
        user = whole("user", (await self.post("users", wish))["data"])
        assert {name: user[name] for name in wish} == wish
        assert user["wallet"]["balance"] == {"usdc": "0.00", "xlm": "0.00"}
        return str(user["id"])

    async def pay_in(self, user: str, amount: str) -> None:
        address = (await self.get(f"users/{user}/wallet/deposit"))["data"]["address"]
        async with httpx.AsyncClient(trust_env=False, timeout=60) as outside:
            paid = await outside.post(f"{self.deployment.sandbox_url}/control/faucet", json={"address": address, "amount": amount})
        assert paid.is_success, paid.text
        await until(lambda: self._has(user, amount))

    async def _has(self, user: str, amount: str) -> bool:
        return bool((await self.get(f"users/{user}/balance"))["available"] == amount)

    async def order(self, buyer: str, seller: str, **more: Any) -> Resource:
        wish = {"buyer_id": buyer, "seller_id": seller, "amount": "80.00", "title": "A logo", **more}
        return whole("order", (await self.post("orders", wish))["data"])

    async def funded(self, buyer: str, seller: str, **more: Any) -> Resource:
        path = f"orders/{(await self.order(buyer, seller, **more))['id']}"
        assert (await self.post(f"{path}/reserve"))["data"]["status"] == "FUNDS_RESERVED"
        escrow = whole("order", (await self.post(f"{path}/escrow"))["data"])["escrow"]
        assert escrow["contractId"]
        assert escrow["txHash"] == escrow["deployTransactionHash"]
        funded = whole("order", (await self.post(f"{path}/escrow/fund"))["data"])
        assert (funded["status"], funded["escrow"]["status"]) == ("IN_PROGRESS", "FUNDED")
        assert funded["escrow"]["txHash"] == funded["escrow"]["fundTransactionHash"]
        return funded


async def until(look: Callable[[], Awaitable[Any]], limit_s: float = 120) -> Any:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        found = await look()
        if found:
            return found
        await asyncio.sleep(0.1)
    raise AssertionError(f"not within {limit_s} s")


@pytest.fixture
async def client(deployment: Deployment) -> AsyncIterator[Client]:
    client = Client(deployment)
    yield client
    await client.http.aclose()


@pytest.fixture
async def trade(client: Client) -> tuple[str, str]:
    """A buyer with 200 USDC and a seller."""
    buyer, seller = await client.user("BUYER"), await client.user("SELLER")
    await client.pay_in(buyer, "200.00")
    return buyer, seller


async def test_wallet_and_balance(client: Client, trade: tuple[str, str]) -> None:
    buyer, _ = trade
    wallet = whole("wallet", (await client.get(f"users/{buyer}/wallet"))["data"])
    assert (wallet["type"], wallet["provider"], wallet["isActive"], wallet["isPrimary"]) == ("INVISIBLE", "STELLAR", True, True)
    assert wallet["balance"] == {"usdc": "200.00", "xlm": "0.00"}
    deposit = whole("deposit", (await client.get(f"users/{buyer}/wallet/deposit"))["data"])
    assert (deposit["provider"], deposit["method"], deposit["address"]) == ("STELLAR", "stellar_address", wallet["publicKey"])
    assert set(deposit["asset"]) == {"code", "issuer"}
    [transaction] = (await client.get(f"users/{buyer}/wallet/transactions", limit="10"))["data"]
    whole("transaction", transaction)
    expected = {"type": "deposit", "to": wallet["publicKey"], "amount": "200.00", "asset": "USDC", "successful": True}
    assert {name: transaction[name] for name in expected} == expected
    expected = {"userId": buyer, "available": "200.00", "reserved": "0.00", "currency": "USDC"}
    path = f"users/{buyer}/balance"
    for balance in (await client.get(path), await client.post(f"{path}/sync"), await client.get(f"{path}/verify")):
        assert {name: whole("balance", balance)[name] for name in expected} == expected


async def test_orders_are_made_listed_and_canceled(client: Client, trade: tuple[str, str]) -> None:
    buyer, seller = trade
    milestones = [
        {"ref": "design", "description": "Mock-ups", "amount": "30.00"},
        {"ref": "build", "description": "Page", "amount": "50.00"},
    ]
    facts = {"description": "Two parts", "metadata": {"cart": "7"}}
    order = await client.order(buyer, seller, milestones=milestones, client_order_ref="cart-7", currency="USDC", **facts)
    expected = {"clientOrderRef": "cart-7", "buyerId": buyer, "sellerId": seller, "amount": "80.00", "currency": "USDC", "title": "A logo"}
    assert {name: order[name] for name in (*expected, *facts)} == {**expected, **facts}
    assert (order["status"], order["escrow"], order["dispute"]) == ("ORDER_CREATED", None, None)
    shown = (await client.get(f"orders/{order['id']}/milestones"))["data"]
    assert [{name: one[name] for name in ("ref", "description", "amount")} for one in shown] == milestones
    assert [(one["milestoneRef"], one["title"]) for one in shown] == [("design", "Mock-ups"), ("build", "Page")]
    other = await client.order(buyer, seller)
    await client.post(f"orders/{other['id']}/reserve")
    assert (await client.post(f"orders/{other['id']}/cancel"))["data"]["finalStatus"] == "CANCELED"
    assert (await client.post(f"orders/{order['id']}/cancel", {"reason": "Twice"}))["data"]["status"] == "CLOSED"
    page = await client.get("orders", buyer_id=buyer, seller_id=seller, status="CLOSED", limit="1")
    assert ([one["id"] for one in page["data"]], page["hasMore"]) == ([other["id"]], True)
    page = await client.get("orders", buyer_id=buyer, limit="1", cursor=page["nextCursor"])
    assert [one["id"] for one in page["data"]] == [order["id"]]


async def test_escrow_milestone_and_release(client: Client, trade: tuple[str, str]) -> None:
    buyer, seller = trade
    order = await client.funded(buyer, seller, milestones=[{"ref": "all", "description": "All of it"}])
    milestone = whole("milestone", (await client.post(f"orders/{order['id']}/milestones/all/complete"))["data"])
    assert (milestone["ref"], milestone["description"], bool(milestone["completedAt"])) == ("all", "All of it", True)
    released = (await client.post(f"orders/{order['id']}/resolution/release"))["data"]
    assert (released["id"], released["status"], released["finalStatus"]) == (order["id"], "CLOSED", "RELEASED")
    assert (await client.get(f"users/{seller}/balance"))["available"] == released["quote"]["sellerReceives"]
    assert (await client.get(f"orders/{order['id']}"))["data"]["escrow"]["status"] == "RELEASED"


async def test_refund(client: Client, trade: tuple[str, str]) -> None:
    order = await client.funded(*trade)
    refunded = (await client.post(f"orders/{order['id']}/resolution/refund", {"reason": "Not delivered"}))["data"]
    assert (refunded["status"], refunded["finalStatus"]) == ("CLOSED", "REFUNDED")
    balance = Decimal((await client.get(f"users/{trade[0]}/balance"))["available"])
    assert balance == 120 + Decimal(refunded["quote"]["buyerReceivesOnRefund"])


async def test_disputes(client: Client, trade: tuple[str, str]) -> None:
    order = await client.funded(*trade)
    wish = {"openedBy": "BUYER", "reason": "NOT_DELIVERED", "evidence": ["a letter"]}
    dispute = whole("dispute", (await client.post(f"orders/{order['id']}/resolution/dispute", wish))["data"])
    expected = {"orderId": order["id"], "openedBy": "BUYER", "reason": "NOT_DELIVERED", "status": "OPEN"}
    assert {name: dispute[name] for name in expected} == expected
    listed = (await client.get("disputes", orderId=order["id"], status="OPEN", openedBy="BUYER"))["data"]
    assert [one["id"] for one in listed] == [dispute["id"]]
    path = f"disputes/{dispute['id']}"
    assert (await client.post(f"{path}/assign", {"assignedTo": "ana"}))["data"]["status"] == "UNDER_REVIEW"
    decision = {"decision": "SPLIT", "releaseAmount": "60.00", "refundAmount": "20.00", "note": "Half was done"}
    assert (await client.post(f"{path}/resolve", decision))["data"]["status"] == "RESOLVED"
    resolved = whole("dispute", (await client.get(path))["data"])
    assert (resolved["status"], resolved["resolutionDecision"], resolved["decisionNote"]) == ("RESOLVED", "SPLIT", "Half was done")
    assert whole("order", (await client.get(f"orders/{order['id']}"))["data"])["finalStatus"] == "SPLIT"


async def test_withdrawals(client: Client, trade: tuple[str, str]) -> None:
    buyer, _ = trade
    facts = {"userId": buyer, "amount": "30.00", "currency": "USDC", "description": "Earnings"}
    wish = {**facts, "commit": True, "destinationType": "crypto", "destinationRef": client.deployment.payee}
    paid = await client.post("withdrawals", wish)
    assert {name: paid[name] for name in facts} == facts
    whole("withdrawal", paid)

    async def final() -> Resource | None:
        now = await client.get(f"withdrawals/{paid['id']}")
        return now if now["transactionHash"] else None

    assert (await until(final))["id"] == paid["id"]
    page = await client.get("withdrawals", limit="1")
    assert ([one["id"] for one in page["data"]], "hasMore" in page, "nextCursor" in page) == ([paid["id"]], True, True)
    nobody = await client.http.post("withdrawals", json={name: wish[name] for name in wish if name != "userId"})
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_changes_past_the_books_are_refused_and_name_the_command_instead(client: Client, trade: tuple[str, str]) -> None:
    buyer, seller = trade
    instead = {
        "credit": "GET /users/{userId}/wallet/deposit",
        "debit": "POST /withdrawals",
        "reserve": "POST /orders/{orderId}/reserve",
        "release": "POST /orders/{orderId}/resolution/release",
        "cancel-reservation": "POST /orders/{orderId}/cancel",
        "deduct-reserved": "POST /orders/{orderId}/escrow",
    }
    for change, command in instead.items():
        body = {"amount": "1.00", "reference": "r"} | ({"recipientId": seller} if change == "release" else {})
        refused = await client.http.post(f"users/{buyer}/balance/{change}", json=body)
        assert refused.status_code == 403
        assert command in refused.json()["error"]["message"]
    assert (await client.get(f"users/{buyer}/balance"))["available"] == "200.00"


async def test_a_request_repeated_after_a_503_is_done_once(client: Client, trade: tuple[str, str]) -> None:
    order = await client.order(*trade)
    key = {"Idempotency-Key": uuid.uuid4().hex}
    path = f"orders/{order['id']}/reserve"
    async with httpx.AsyncClient(
        headers={"Authorization": f"Bearer {client.deployment.master_key}"}, trust_env=False, timeout=60
    ) as master:
        drain = f"{client.deployment.api_url}/maintenance/drain"
        (await master.post(drain)).raise_for_status()
        try:
            refused = await client.http.post(path, headers=key)
        finally:
            (await master.delete(drain)).raise_for_status()
    assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
    first = await client.http.post(path, headers=key)
    second = await client.http.post(path, headers=key)
    assert (first.status_code, first.json()["data"]["status"]) == (200, "FUNDS_RESERVED")
    assert (second.json(), second.headers["idempotent-replayed"]) == (first.json(), "true")
    assert (await client.get(f"users/{trade[0]}/balance"))["reserved"] == "80.00"


@pytest.mark.parametrize("code", list(ErrorCode))
def test_what_is_repeated_may_help_and_what_never_helps_is_not(code: ErrorCode) -> None:
    problem = PROBLEMS[code]
    if code is ErrorCode.PAYLOAD_TOO_LARGE:
        assert (problem.status, problem.retry) == (413, Retry.NEVER), "the client repeats it in vain, harmlessly: it never got in"
    else:
        assert (problem.status in REPEATED) <= (problem.retry is not Retry.NEVER)
