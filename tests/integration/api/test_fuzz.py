"""Every operation on what Schemathesis does not send: broken JSON, other media types, fields damaged; each error code is documented."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from pydantic import TypeAdapter

from api.app import _RESOURCES, openapi_document
from api.auth import Scope
from api.openapi import responses
from api.routing import Declared
from api.schemas.answers import ErrorAnswer
from offerhub.domain.states import OrderState
from tests.integration.api.conftest import MASTER, Api
from tests.integration.api.generated import Generator, Request
from tests.integration.api.test_orders import created
from tests.integration.commands.deal import Deal, Wish

DOCUMENT = openapi_document()
# What ends things comes last, and the drain after it: it would refuse the others.
_LAST = ("cancel", "abandon", "drain")
ROUTES = sorted(
    (route for resource in _RESOURCES for route in resource.routes.declared),
    key=lambda route: next((rank for rank, word in enumerate(_LAST, 1) if word in route.path), 0),
)
STATES = (OrderState.ORDER_CREATED, OrderState.FUNDS_RESERVED, OrderState.ESCROW_FUNDING, OrderState.IN_PROGRESS, OrderState.DISPUTED)


async def populated(api: Api) -> dict[str, Sequence[str]]:
    """Something of everything, so that requests get beyond what does not exist."""
    await api.market.restock(20)
    deals = [await Deal.in_state(api.market, state) for state in STATES]
    deals += [await Deal.funded(api.market, Wish(parts=(100, 200)))]
    disputes = [str((await deals[4].order()).dispute_id)]
    withdrawal = (await api.market.withdraw(await api.market.user(100), 100)).withdrawal
    users = [deals[0].buyer.id, deals[1].seller.id, deals[3].buyer.id]
    endpoint = await created(await api.client.post("/webhook-endpoints", json={"url": "https://1.1.1.1/hook"}))
    async with api.acting(MASTER) as master:
        keys = [one["id"] for one in (await master.get("/auth/api-keys")).json()["data"]]
        deposits = [one["id"] for one in (await master.get("/deposits")).json()["data"]]
        operations = [one["id"] for one in (await master.get("/operations")).json()["data"]]
    known: dict[str, Sequence[str]] = {"order_id": [deal.order_id for deal in deals], "ref": ["m0", "m1"], "dispute_id": disputes}
    known |= {"user_id": users, "external_user_id": [deals[0].buyer.external_user_id], "key_id": keys, "endpoint_id": [endpoint["id"]]}
    known |= {"withdrawal_id": [withdrawal.id], "deposit_id": deposits, "operation_id": operations, "milestoneRef": ["m0", "m1"]}
    return known | {"buyerId": users[:1], "sellerId": users[1:2], "userId": users, "orderId": known["order_id"], "resourceId": operations}


class Judge:
    """Sends what is generated and compares every answer with what is documented for it."""

    def __init__(self, client: httpx.Client, route: Declared) -> None:
        self._client = client
        self._method = route.method
        is_public = route.gate.scope is Scope.PUBLIC
        limited = route.gate.limit is not None
        self._documented = responses(route.documented, route.method, public=is_public, limited=limited)
        self.statuses: set[int] = set()

    def ask(self, request: Request) -> None:
        answer = self._client.request(
            self._method, request.path, params=request.query, headers=dict(request.headers), content=request.content
        )
        self.statuses.add(answer.status_code)
        place = f"{self._method} {answer.request.url} {request.content!r}: {answer.status_code} {answer.text[:300]}"
        assert answer.status_code < 500 or answer.status_code == 503, place
        documented = self._documented.get(answer.status_code)
        assert documented is not None, place
        assert answer.headers["x-request-id"], place
        missing = {name for name in documented["headers"] if not name.startswith("X-RateLimit")} - {"Idempotent-Replayed"}
        assert {name.lower() for name in missing} <= set(answer.headers), place
        self._judge_body(answer, documented, place)

    def _judge_body(self, answer: httpx.Response, documented: dict[str, Any], place: str) -> None:
        media = answer.headers["content-type"].partition(";")[0]
        if media != "application/json":
            assert media in documented["content"], place
            return
        TypeAdapter(documented["model"]).validate_json(answer.content, by_name=False, by_alias=True)
        if documented["model"] is ErrorAnswer:
            error = answer.json()["error"]
            # A kept answer is given as it was.
            assert error["requestId"] == answer.headers["x-request-id"] or answer.headers.get("idempotent-replayed"), place
            assert f"`{error['code']}`" in documented["description"], place


def ask_everything(url: str, known: dict[str, Sequence[str]], examples: int) -> dict[str, set[int]]:
    generator, seen = Generator(DOCUMENT, known), {}
    calm = hypothesis_settings(
        max_examples=examples, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    headers = {"Authorization": f"Bearer {MASTER}"}
    with httpx.Client(base_url=url.removesuffix("/api/v1"), headers=headers, timeout=30, trust_env=False) as client:
        for route in ROUTES:
            path = "/api/v1" + route.path.replace(":path", "")
            judge = Judge(client, route)
            calm(given(generator.requests(path, DOCUMENT["paths"][path][route.method.lower()]))(judge.ask))()
            seen[f"{route.method} {route.path}"] = judge.statuses
    return seen


async def fuzzed(api: Api, examples: int) -> dict[str, set[int]]:
    known = await populated(api)
    return await asyncio.to_thread(ask_everything, api.url, known, examples)


async def test_nothing_but_what_is_documented_is_answered(api: Api) -> None:
    seen = await fuzzed(api, examples=14)
    assert len(seen) == len(ROUTES) > 70
    reached = [place for place, statuses in seen.items() if min(statuses) < 300]
    assert len(reached) > len(ROUTES) * 3 / 5, "most of what is asked should have been worth an answer"


@pytest.mark.endurance
@pytest.mark.timeout(900)
async def test_nothing_but_what_is_documented_is_answered_at_length(api: Api) -> None:
    await fuzzed(api, examples=60)
