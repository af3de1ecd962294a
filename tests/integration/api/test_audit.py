"""The audit log over HTTP: filters, pages, exports, and an entry for everything that is changed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy.pool import AsyncAdaptedQueuePool

from api import audit as exporting
from api.csv_lines import csv_line
from api.schemas.answers import Page
from api.schemas.audit import AuditLogEntry
from offerhub.domain.audit import verify
from offerhub.storage import audit
from offerhub.storage.unit_of_work import Database
from offerhub.stream.sealer import Sealer
from tests.integration.api.conftest import Api
from tests.integration.api.test_orders import created, parties, wish


@asynccontextmanager
async def support(api: Api) -> AsyncIterator[httpx.AsyncClient]:
    async with api.acting(await api.key("support")) as client:
        yield client


async def seal(database: Database) -> None:
    sealer = Sealer(database)
    while await sealer.seal_once():
        pass


async def export(client: httpx.AsyncClient, media: str, **params: str) -> httpx.Response:
    answer = await client.get("/audit/logs", params=params, headers={"Accept": media})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith(media)
    return answer


async def listed(client: httpx.AsyncClient, **params: str) -> list[dict[str, Any]]:
    answer = await client.get("/audit/logs", params={"limit": "100", **params})
    assert answer.status_code == 200, answer.text
    Page[AuditLogEntry].model_validate_json(answer.content, by_name=False, by_alias=True)
    found: list[dict[str, Any]] = answer.json()["data"]
    return found


async def test_an_entry_tells_who_changed_what(api: Api) -> None:
    buyer, seller = await parties(api)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller), headers={"X-Request-ID": "req-mine"}))
    me = (await api.client.get("/me")).json()["data"]["id"]
    async with support(api) as client:
        [entry] = await listed(client, resourceType="order", resourceId=order["id"])
        assert (entry["sequence"], entry["hash"]) == (None, None)
        await seal(api.services.database)
        [sealed] = await listed(client, resourceType="order", resourceId=order["id"])
    assert (entry["action"], entry["actorId"], entry["correlationId"], entry["before"]) == ("order.created", me, "req-mine", None)
    assert (entry["after"]["state"], entry["after"]["amount"]) == ("ORDER_CREATED", "80.00")
    assert sorted(entry["userIds"]) == sorted([buyer, seller])
    assert {**sealed, "sequence": None, "previousHash": None, "hash": None} == entry
    assert sealed["sequence"] > 1
    assert len(sealed["hash"]) == 64


async def test_filters_and_pages(api: Api) -> None:
    buyer, seller = await parties(api)
    order, *_ = [await created(await api.client.post("/orders", json=wish(buyer, seller))) for _ in range(3)]
    await api.client.post(f"/orders/{order['id']}/cancel", json={"reason": "=cmd()", "canceledBy": "mail@example.com"})
    me = (await api.client.get("/me")).json()["data"]["id"]
    async with support(api) as client:
        mine = await listed(client, actorId=me)
        assert {entry["actorId"] for entry in mine} == {me}
        assert [entry["id"] for entry in mine] == sorted((entry["id"] for entry in mine), reverse=True)
        orders = await listed(client, action="order.created", userId=seller)
        assert [entry["userIds"] for entry in orders] == [sorted([buyer, seller])] * 3
        assert await listed(client, userId="usr_none") == []
        [reason] = await listed(client, action="order.cancel_reason")
        assert reason["after"] == {"reason": "=cmd()", "canceledBy": "m***@example.com"}
        times = [datetime.fromisoformat(entry["occurredAt"]) for entry in orders]
        later = (times[1] + timedelta(milliseconds=1)).isoformat()
        assert [one["id"] for one in await listed(client, action="order.created", **{"from": later})] == [orders[0]["id"]]
        assert [one["id"] for one in await listed(client, action="order.created", to=later)] == [orders[1]["id"], orders[2]["id"]]
        first = (await client.get("/audit/logs", params={"limit": 4, "actorId": me})).json()
        rest = (await client.get("/audit/logs", params={"limit": 100, "actorId": me, "cursor": first["nextCursor"]})).json()
        assert (first["hasMore"], rest["hasMore"]) == (True, False)
        assert [one["id"] for one in first["data"] + rest["data"]] == [entry["id"] for entry in mine]
        for wrong in ({"action": "x;y"}, {"from": "yesterday"}, {"from": "2026-01-01T00:00:00"}, {"limit": "0"}, {"colour": "red"}):
            assert (await client.get("/audit/logs", params=wrong)).status_code == 400, wrong
    assert (await api.client.get("/audit/logs")).json()["error"]["code"] == "INSUFFICIENT_SCOPE"


async def test_an_export_is_verified_and_goes_on_where_the_last_one_ended(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporting, "_EXPORTED_AT_ONCE", 3)
    buyer, seller = await parties(api)
    await seal(api.services.database)
    async with support(api) as client:
        first = (await export(client, "application/x-ndjson")).text
        verdict = verify(first.splitlines(keepends=True))
        assert verdict.faults == ()
        assert verdict.entries > 9
        await created(await api.client.post("/orders", json=wish(buyer, seller)))
        assert (await export(client, "application/x-ndjson")).text == first, "not sealed yet"
        await seal(api.services.database)
        last = json.loads(first.splitlines()[-1])
        second = (await export(client, "application/x-ndjson", cursor=last["id"])).text
        assert verify(second.splitlines(), previous=verdict.last_hash).faults == ()
        assert (await export(client, "application/x-ndjson")).text == first + second
        assert json.loads(second.splitlines()[-1]) == (await listed(client))[0]
        some = (await export(client, "application/x-ndjson", action="user.created")).text.splitlines()
        assert [json.loads(line)["action"] for line in some] == ["user.created"] * len(some)
        unknown = await client.get("/audit/logs", params={"cursor": "aud_none"}, headers={"Accept": "text/csv"})
        assert (unknown.status_code, unknown.json()["error"]["code"]) == (400, "VALIDATION_ERROR")


async def test_a_spreadsheet_runs_nothing(api: Api) -> None:
    buyer, seller = await parties(api)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller)))
    await api.client.post(f"/orders/{order['id']}/cancel", json={"reason": '=HYPERLINK("x")\n"a",b'})
    async with api.market.command() as transaction:
        transaction.audit("order.note", ("order", "=1+1"), None, {"x": "y"})
    await seal(api.services.database)
    async with support(api) as client:
        rows = list(csv.DictReader(io.StringIO((await export(client, "text/csv", resourceType="order")).text, newline="")))
    assert [row["action"] for row in rows] == ["order.created", "order.closed", "order.cancel_reason", "order.note"]
    assert rows[0]["userIds"].split() == sorted([buyer, seller])
    assert json.loads(rows[2]["after"])["reason"] == '=HYPERLINK("x")\n"a",b'
    assert rows[3]["resourceId"] == "'=1+1"
    assert [int(row["sequence"]) for row in rows] == sorted(int(row["sequence"]) for row in rows)


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d"])
def test_no_cell_is_a_formula(start: str) -> None:
    [row] = csv.reader(io.StringIO(csv_line([f"{start}SUM(1)", "fine", 7, None]).decode(), newline=""))
    assert row == [f"'{start}SUM(1)", "fine", "7", ""]


async def test_a_long_export_comes_in_pieces_while_others_write(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read page by page: what is sealed meanwhile belongs to the next export, and no connection is held for a slow reader."""
    monkeypatch.setattr(exporting, "_EXPORTED_AT_ONCE", 50)
    async with api.market.command() as transaction:
        for number in range(400):
            transaction.audit("thing.done", ("thing", f"t{number}"), None, {"filler": "x" * 20_000})
    await seal(api.services.database)
    async with support(api) as client, client.stream("GET", "/audit/logs", headers={"Accept": "application/x-ndjson"}) as answer:
        lines = answer.aiter_lines()
        seen = [await anext(lines)]
        held = api.services.database.engine.pool
        assert isinstance(held, AsyncAdaptedQueuePool)
        assert held.checkedout() <= 1
        await parties(api)
        await seal(api.services.database)
        seen += [line async for line in lines]
    verdict = verify(seen)
    assert (verdict.faults, sum("thing.done" in line for line in seen)) == ((), 400)
    async with api.services.database.reading() as reader:
        assert (await audit.head(reader)).sequence > verdict.last_sequence
