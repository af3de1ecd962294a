"""Every route that changes something leaves an audit entry with the caller and the request's id. The list of routes is the router's own."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from api.app import _RESOURCES
from offerhub.commands.wallets import begin_activation, book_activation, record_wallets
from offerhub.commands.webhooks import book_delivery
from offerhub.domain.webhooks import Attempt, RetrySchedule
from offerhub.storage import audit, events
from offerhub.storage.audit import AuditFilter
from offerhub.storage.events import EventFilter
from tests.e2e.outside import OutsideAccount
from tests.integration.api.conftest import Api, opened
from tests.integration.api.test_orders import UNIT, created, wish
from tests.integration.commands.deal import Deal
from tests.integration.commands.market import wallet
from tests.integration.commands.test_order_life import funded
from tests.services import SandboxServer

CHANGING = {f"{route.method} {route.path}": route for resource in _RESOURCES for route in resource.routes.declared if route.method != "GET"}
CHANGES_NOTHING = {
    "POST /users/{user_id}/balance/sync": "states a comparison; deposits that it credits are audited like all deposits",
    **{
        f"POST /users/{{user_id}}/balance/{what}": "refuses: balances change through commands only"
        for what in ("credit", "debit", "reserve", "release", "cancel-reservation", "deduct-reserved")
    },
}
WALLETS = 80


@dataclass(frozen=True)
class Scene:
    """``client`` may do everything; ``act`` is the request that must leave an entry, recognised by its id ``mark``."""

    mark: str
    api: Api
    client: httpx.AsyncClient
    outside: OutsideAccount

    async def act(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        return await self.client.request(method, path, json=body, headers={"X-Request-ID": self.mark, "Prefer": "wait=0"})

    async def made(self, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = await self.client.post(path, json=body, headers={"Prefer": "wait=0"})
        assert answer.status_code < 300, answer.text
        return answer.json()["data"]

    async def order(self, **more: Any) -> str:
        buyer, seller = await self.api.market.user(100 * UNIT), await self.api.market.user()
        return str((await created(await self.client.post("/orders", json=wish(buyer.id, seller.id, **more))))["id"])

    async def reserved(self) -> str:
        order_id = await self.order()
        await self.made(f"/orders/{order_id}/reserve")
        return order_id

    async def in_progress(self) -> str:
        return (await funded(self.api.market))[2].id

    async def disputed(self) -> str:
        """Frozen already, as if its workflow had run."""
        order_id = await self.in_progress()
        body = {"openedBy": "BUYER", "reason": "OTHER"}
        dispute_id = str((await self.made(f"/orders/{order_id}/resolution/dispute", body))["id"])
        await self.run("UPDATE disputes SET frozen_hash = 'aa' WHERE id = :id", dispute_id)
        await self.run(
            "UPDATE operations SET status = 'SUCCEEDED', finished_at = now() WHERE resource_id = :id AND status = 'PENDING'", order_id
        )
        return dispute_id

    async def run(self, statement: str, row_id: str) -> None:
        async with self.api.market.command() as transaction:
            await transaction.run(text(statement), id=row_id)

    async def key(self) -> str:
        return str((await self.made("/auth/api-keys", {"name": "k", "scopes": ["read", "write"]}))["id"])

    async def endpoint(self) -> str:
        return str((await self.made("/webhook-endpoints", {"url": "http://127.0.0.1:9/hooks"}))["id"])


async def create_user(scene: Scene) -> httpx.Response:
    return await scene.act("POST", "/users", {"externalUserId": "audited", "email": "ada@example.com"})


async def change_user(scene: Scene) -> httpx.Response:
    return await scene.act("PATCH", f"/users/{(await scene.api.market.user()).id}", {"email": "ada@example.com"})


async def create_order(scene: Scene) -> httpx.Response:
    buyer, seller = await scene.api.market.user(), await scene.api.market.user()
    return await scene.act("POST", "/orders", wish(buyer.id, seller.id))


async def checkout(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.order()}/checkout")


async def reserve(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.order()}/reserve")


async def cancel(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.order()}/cancel")


async def create_escrow(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.reserved()}/escrow")


async def _unfunded(scene: Scene) -> str:
    order_id = await scene.reserved()
    await scene.made(f"/orders/{order_id}/escrow")
    await scene.run("UPDATE orders SET state = 'ESCROW_FUNDING' WHERE id = :id", order_id)
    await scene.run("UPDATE escrows SET state = 'CREATED', contract_id = 'C' || id WHERE order_id = :id", order_id)
    await scene.run("UPDATE operations SET status = 'SUCCEEDED', finished_at = now() WHERE resource_id = :id", order_id)
    return order_id


async def fund(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await _unfunded(scene)}/escrow/fund")


async def abandon(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await _unfunded(scene)}/escrow/abandon")


async def complete(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.in_progress()}/milestones/delivery/complete")


async def release_milestone(scene: Scene) -> httpx.Response:
    order_id = await scene.in_progress()
    await scene.run("UPDATE orders SET release_mode = 'per_milestone' WHERE id = :id", order_id)
    return await scene.act("POST", f"/orders/{order_id}/milestones/delivery/release")


async def release(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.in_progress()}/resolution/release", {"reason": "done"})


async def refund(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.in_progress()}/resolution/refund", {"reason": "late"})


async def compensate(scene: Scene) -> httpx.Response:
    deal = await Deal.owing_fees(scene.api.market)
    return await scene.act("POST", f"/orders/{deal.order_id}/resolution/compensation")


async def dispute(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/orders/{await scene.in_progress()}/resolution/dispute", {"openedBy": "BUYER", "reason": "OTHER"})


async def extend(scene: Scene) -> httpx.Response:
    order_id = await scene.in_progress()
    await scene.run("UPDATE orders SET auto_release_at = now() WHERE id = :id", order_id)
    return await scene.act("POST", f"/orders/{order_id}/resolution/extend", {"extendBySeconds": 60})


async def assign(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/disputes/{await scene.disputed()}/assign", {"assignedTo": "agent-7"})


async def add_evidence(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/disputes/{await scene.disputed()}/evidence", {"text": "a photo"})


async def add_message(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/disputes/{await scene.disputed()}/messages", {"text": "hello"})


async def resolve(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/disputes/{await scene.disputed()}/resolve", {"decision": "FULL_REFUND"})


async def withdraw(scene: Scene) -> httpx.Response:
    user = await scene.api.market.user(100 * UNIT)
    body = {"userId": user.id, "amount": "30.00", "destinationType": "crypto", "destinationRef": scene.outside.address}
    return await scene.act("POST", "/withdrawals", body)


async def create_key(scene: Scene) -> httpx.Response:
    return await scene.act("POST", "/auth/api-keys", {"name": "k", "scopes": ["read"]})


async def rotate_key(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/auth/api-keys/{await scene.key()}/rotate", {"overlapSeconds": 0})


async def revoke_key(scene: Scene) -> httpx.Response:
    return await scene.act("DELETE", f"/auth/api-keys/{await scene.key()}")


async def create_token(scene: Scene) -> httpx.Response:
    return await scene.act("POST", "/auth/token", {})


async def create_token_of(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/auth/api-keys/{await scene.key()}/token", {})


async def create_endpoint(scene: Scene) -> httpx.Response:
    return await scene.act("POST", "/webhook-endpoints", {"url": "http://127.0.0.1:9/hooks"})


async def change_endpoint(scene: Scene) -> httpx.Response:
    return await scene.act("PATCH", f"/webhook-endpoints/{await scene.endpoint()}", {"description": "shop"})


async def delete_endpoint(scene: Scene) -> httpx.Response:
    return await scene.act("DELETE", f"/webhook-endpoints/{await scene.endpoint()}")


async def rotate_endpoint(scene: Scene) -> httpx.Response:
    return await scene.act("POST", f"/webhook-endpoints/{await scene.endpoint()}/rotate-secret")


async def redeliver(scene: Scene) -> httpx.Response:
    endpoint_id = await scene.endpoint()
    async with scene.api.market.command() as transaction:
        await events.number_committed(transaction, 100)
        [event, *_] = await events.after(transaction, 0, EventFilter(), 10**6)
    async with scene.api.market.command() as transaction:
        last = await events.latest_position(transaction)
        newer = events.EventRecord(**{**vars(event), "position": last + 1})
        await book_delivery(transaction, endpoint_id, newer, Attempt(204, None, 5, ""), RetrySchedule())
    [delivery] = (await scene.client.get(f"/webhook-endpoints/{endpoint_id}/deliveries")).json()["data"]
    return await scene.act("POST", f"/webhook-deliveries/{delivery['id']}/redeliver")


async def reconcile(scene: Scene) -> httpx.Response:
    return await scene.act("POST", "/reconciliation/runs")


async def adjust(scene: Scene) -> httpx.Response:
    body = {"direction": "CREDIT", "amount": "1.00", "reason": "drift", "evidence": "fnd_1", "userId": (await scene.api.market.user()).id}
    headers = {"X-Request-ID": scene.mark, "Idempotency-Key": "adjust"}
    return await scene.client.post("/ledger/adjustments", json=body, headers=headers)


async def drain(scene: Scene) -> httpx.Response:
    return await scene.act("POST", "/maintenance/drain", {"reason": "disks"})


async def undrain(scene: Scene) -> httpx.Response:
    await scene.made("/maintenance/drain")
    return await scene.act("DELETE", "/maintenance/drain")


REQUESTS: dict[str, Callable[[Scene], Awaitable[httpx.Response]]] = {
    "POST /users": create_user,
    "PATCH /users/{user_id}": change_user,
    "POST /orders": create_order,
    "POST /orders/{order_id}/checkout": checkout,
    "POST /orders/{order_id}/reserve": reserve,
    "POST /orders/{order_id}/cancel": cancel,
    "POST /orders/{order_id}/escrow": create_escrow,
    "POST /orders/{order_id}/escrow/fund": fund,
    "POST /orders/{order_id}/escrow/abandon": abandon,
    "POST /orders/{order_id}/milestones/{ref}/complete": complete,
    "POST /orders/{order_id}/milestones/{ref}/release": release_milestone,
    "POST /orders/{order_id}/resolution/release": release,
    "POST /orders/{order_id}/resolution/refund": refund,
    "POST /orders/{order_id}/resolution/compensation": compensate,
    "POST /orders/{order_id}/resolution/dispute": dispute,
    "POST /orders/{order_id}/resolution/extend": extend,
    "POST /disputes/{dispute_id}/assign": assign,
    "POST /disputes/{dispute_id}/evidence": add_evidence,
    "POST /disputes/{dispute_id}/messages": add_message,
    "POST /disputes/{dispute_id}/resolve": resolve,
    "POST /withdrawals": withdraw,
    "POST /auth/api-keys": create_key,
    "POST /auth/api-keys/{key_id}/rotate": rotate_key,
    "DELETE /auth/api-keys/{key_id}": revoke_key,
    "POST /auth/token": create_token,
    "POST /auth/api-keys/{key_id}/token": create_token_of,
    "POST /webhook-endpoints": create_endpoint,
    "PATCH /webhook-endpoints/{endpoint_id}": change_endpoint,
    "DELETE /webhook-endpoints/{endpoint_id}": delete_endpoint,
    "POST /webhook-endpoints/{endpoint_id}/rotate-secret": rotate_endpoint,
    "POST /webhook-deliveries/{delivery_id}/redeliver": redeliver,
    "POST /reconciliation/runs": reconcile,
    "POST /ledger/adjustments": adjust,
    "POST /maintenance/drain": drain,
    "DELETE /maintenance/drain": undrain,
}


@pytest.fixture
async def scene(postgres_url: str, redis_url: str, sandbox: SandboxServer) -> AsyncIterator[Scene]:
    wanted: dict[str, Any] = {"horizon_url": sandbox.url, "usdc_issuer": sandbox.environment["USDC_ISSUER"], "rate_limit_key_per_minute": 0}
    wanted["ledger_adjustments_enabled"] = True
    async with opened(postgres_url, redis_url, **wanted) as api, api.acting(await api.key("*")) as client:
        async with api.market.command() as transaction:
            await record_wallets(transaction, [wallet() for _ in range(WALLETS)])
            while batch := await begin_activation(transaction):
                await book_activation(transaction, [one.public_key for one in batch])
        yield Scene("", api, client, await OutsideAccount.open(sandbox))


def test_every_route_that_changes_something_is_asked_here() -> None:
    assert set(REQUESTS) | set(CHANGES_NOTHING) == set(CHANGING)


async def test_each_of_them_leaves_an_entry_without_secrets(scene: Scene) -> None:
    me = (await scene.client.get("/me")).json()["data"]["id"]
    silent: list[str] = []
    for number, (route, request) in enumerate(REQUESTS.items()):
        mark = f"req-{number}"
        answer = await request(replace(scene, mark=mark))
        assert answer.status_code < 300, (route, answer.text)
        async with scene.api.services.database.reading() as reader:
            found = [one for one in await audit.page(reader, AuditFilter(actor_id=me), None, 10_000) if one.correlation_id == mark]
        silent += [] if found else [route]
        shown = [value for name, value in answer.json()["data"].items() if name in {"apiKey", "token", "secret"} and value]
        written = "".join(str(entry.document()) for entry in found)
        assert not [secret for secret in [*shown, "ada@example.com"] if str(secret) in written], route
        assert not re.findall(r"\d\dT\d\d:\d\d:\d\d(?!\.\d{3}Z)", written), (route, "times are told as in answers")
    assert silent == []
