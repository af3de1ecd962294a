"""The timeline of an order tells everything once, in order."""

from __future__ import annotations

from api.schemas.answers import One
from api.schemas.timeline import OrderWithTimeline, TimelineItem
from offerhub.domain.states import AttemptState
from tests.integration.api.conftest import Api
from tests.integration.api.test_balances import released
from tests.integration.commands.test_order_life import funded


async def test_the_life_of_an_order(api: Api) -> None:
    _, _, order = await released(api)
    answer = await api.client.get(f"/orders/{order.id}/timeline")
    One[list[TimelineItem]].model_validate_json(answer.content, by_name=False, by_alias=True)
    items = answer.json()["data"]
    assert [item["time"] for item in items] == sorted(item["time"] for item in items)
    states = [item["data"]["eventType"] for item in items if item["kind"] == "event" and item["data"]["eventType"].startswith("order.")]
    assert states == [
        *("order.created", "order.funds_reserved", "order.escrow_creating", "order.escrow_funding", "order.escrow_funded"),
        *("order.in_progress", "order.release_requested", "order.released", "order.closed"),
    ]
    assert [item["data"]["kind"] for item in items if item["kind"] == "ledger"] == ["reserve", "fund", "release"]
    signed = [item["data"] for item in items if item["kind"] == "transaction"]
    assert [one["step"] for one in signed] == ["deploy", "fund", "complete_milestone:0", "approve_milestone:0", "release"]
    assert {(one["status"], one["ledger"]) for one in signed} == {("CONFIRMED", 7)}
    assert signed[1]["transactionHash"] == order.the_escrow.fund_hash
    operations = [item for item in items if item["kind"] == "operation"]
    assert [item["data"]["status"] for item in operations] == ["SUCCEEDED"] * 3
    assert operations[2]["summary"] == "release: succeeded"
    paid = next(item for item in items if item["kind"] == "ledger" and item["data"]["kind"] == "release")
    assert {entry["amount"] for entry in paid["data"]["entries"]} == {"-80.00", "77.76", "2.00", "0.24"}
    assert paid["data"]["transactionHash"] == order.the_escrow.release_hash
    assert "envelope" not in answer.text
    whole = await api.client.get(f"/orders/{order.id}")
    One[OrderWithTimeline].model_validate_json(whole.content, by_name=False, by_alias=True)
    assert whole.json()["data"]["timeline"] == items


async def test_envelopes_that_failed_are_told_too(api: Api) -> None:
    buyer, seller, order = await funded(api.market)
    promised = await api.client.post(f"/orders/{order.id}/resolution/release", headers={"Prefer": "respond-async"})
    operation_id = promised.json()["operation"]["id"]
    dead = await api.market.sign(operation_id, str(seller.public_key))
    await api.market.settle(dead, AttemptState.UNKNOWN)
    await api.market.settle(dead, AttemptState.DEAD)
    again = await api.market.sign(operation_id, str(seller.public_key))
    items = (await api.client.get(f"/orders/{order.id}/timeline")).json()["data"]
    last = [item for item in items if item["kind"] == "transaction"][-2:]
    assert [(one["data"]["attemptId"], one["data"]["status"]) for one in last] == [(dead.id, "DEAD"), (again.id, "SIGNED")]
    assert last[0]["summary"] == "complete milestone 0 by seller: dead (the test says so)"
    told = [item["data"]["eventType"] for item in items if item["kind"] == "event"]
    assert told[-2:] == ["envelope.unknown", "envelope.resolved"]
    assert buyer.id in str(items[0])


async def test_a_dispute_is_told_with_what_was_said(api: Api) -> None:
    _, _, order = await funded(api.market)
    opened = {"openedBy": "BUYER", "reason": "NOT_DELIVERED", "evidence": ["Nothing came."]}
    promised = await api.client.post(f"/orders/{order.id}/resolution/dispute", json=opened, headers={"Prefer": "respond-async"})
    assert promised.status_code == 202, promised.text
    dispute_id = promised.json()["data"]["id"]
    said = await api.client.post(f"/disputes/{dispute_id}/messages", json={"text": "It is on its way.", "author": "seller"})
    assert said.status_code == 201, said.text
    items = (await api.client.get(f"/orders/{order.id}/timeline")).json()["data"]
    told = [(item["kind"], item["data"].get("eventType") or item["summary"]) for item in items]
    assert ("event", "dispute.opened") in told
    assert told[-1] == ("message", "message by seller")
    assert items[-1]["data"]["content"] == {"text": "It is on its way."}
    assert [item["summary"] for item in items if item["kind"] == "message"] == ["evidence by BUYER", "message by seller"]
    assert "dispute.evidence_added" not in str(told), "what was said is told once"


async def test_lists_stay_lean_and_others_stories_stay_out(api: Api) -> None:
    _, _, first = await funded(api.market)
    _, _, second = await funded(api.market)
    listed = (await api.client.get("/orders")).json()["data"]
    assert all("timeline" not in order for order in listed)
    told = (await api.client.get(f"/orders/{first.id}/timeline")).text
    assert first.the_escrow.id in told
    assert second.id not in told
    assert second.the_escrow.id not in told
    missing = await api.client.get("/orders/ord_none/timeline")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "ORDER_NOT_FOUND")
