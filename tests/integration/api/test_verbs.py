"""Refunds, disputes, milestones, checkout and deadlines over HTTP: promises, spellings, refusals, what an order then shows."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from offerhub.domain.states import OrderState
from tests.integration.api.conftest import Api, opened
from tests.integration.api.test_orders import created, parties, wish
from tests.integration.commands.deal import Deal, Wish

NOW = {"Prefer": "respond-async"}
IN_PARTS = Wish(parts=(100_000_000, 200_000_000))


async def promised(answer: httpx.Response) -> dict[str, Any]:
    """202 with the resource, its operation, and where to follow it."""
    assert answer.status_code == 202, answer.text
    body: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/api/v1/operations/{body['operation']['id']}"
    assert body["operation"]["status"] == "PENDING"
    return body


def refusal(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


async def open_dispute(api: Api, deal: Deal, **more: str) -> dict[str, Any]:
    body = {"openedBy": "SELLER", "reason": "OTHER", "description": "He does not answer.", "evidence": ["a letter"], **more}
    answer = await api.client.post(f"/orders/{deal.order_id}/resolution/dispute", json=body, headers=NOW)
    found: dict[str, Any] = (await promised(answer))["data"]
    return found


async def test_a_checkout_is_promised_and_repeated_joined(api: Api) -> None:
    deal = await Deal.agreed(api.market)
    first, second = [await promised(await api.client.post(f"/orders/{deal.order_id}/checkout", headers=NOW)) for _ in range(2)]
    assert first["operation"]["id"] == second["operation"]["id"]
    assert (first["data"]["status"], first["data"]["escrow"]["status"]) == ("ESCROW_CREATING", "CREATING")
    assert first["operation"]["kind"] == "checkout"


async def test_an_order_is_checked_out_as_it_is_created_or_not_created(api: Api) -> None:
    buyer, seller = await parties(api)
    answer = await api.client.post("/orders", json=wish(buyer, seller, checkout="reserve"))
    assert (answer.status_code, answer.json()["data"]["status"]) == (201, "FUNDS_RESERVED")
    broke = await api.client.post("/orders", json=wish(buyer, seller, checkout="fund"))
    assert refusal(broke) == (422, "INSUFFICIENT_FUNDS")
    small = await api.client.post("/orders", json=wish(buyer, seller, amount="20.00", checkout="fund"), headers=NOW)
    body = await promised(small)
    assert body["data"]["operation"]["id"] == body["operation"]["id"]
    assert len((await api.client.get("/orders")).json()["data"]) == 2, "the refused one does not exist"
    assert refusal(await api.client.post("/orders", json=wish(buyer, seller, checkout="all"))) == (400, "VALIDATION_ERROR")


async def test_an_escrow_is_abandoned(api: Api) -> None:
    deal = await Deal.in_state(api.market, OrderState.ESCROW_FUNDING)
    path = f"/orders/{deal.order_id}/escrow/abandon"
    for body in ({"reason": "changed my mind"}, None):
        order = await created(await api.client.post(path, json=body))
        assert (order["status"], order["finalStatus"], order["escrow"]["status"]) == ("CLOSED", "CANCELED", "ABANDONED")
    order = (await api.client.get(f"/orders/{deal.order_id}")).json()["data"]
    assert (order["cancelReason"], bool(order["escrow"]["contractId"])) == ("changed my mind", True)
    fresh = await Deal.agreed(api.market)
    assert refusal(await api.client.post(f"/orders/{fresh.order_id}/escrow/abandon")) == (404, "ESCROW_NOT_FOUND")


async def test_a_refund_is_promised_and_needs_a_reason(api: Api) -> None:
    deal = await Deal.funded(api.market)
    path = f"/orders/{deal.order_id}/resolution/refund"
    for body in (None, {}, {"reason": "  "}, {"reason": "late", "amount": "1.00"}, {"reason": "late", "milestoneRef": "m0"}):
        assert refusal(await api.client.post(path, json=body)) == (400, "VALIDATION_ERROR"), body
    accepted = await promised(await api.client.post(path, json={"reason": "late"}, headers=NOW))
    assert (accepted["data"]["status"], accepted["data"]["escrow"]["status"]) == ("REFUND_REQUESTED", "REFUNDING")
    answer = await api.client.post(f"/orders/{deal.order_id}/resolution/release", headers=NOW)
    assert answer.json()["error"]["details"] == {"currentState": "REFUND_REQUESTED", "allowedStates": ["IN_PROGRESS"]}


async def test_parts_are_named_where_there_are_parts(api: Api) -> None:
    deal = await Deal.funded(api.market, IN_PARTS)
    order = f"/orders/{deal.order_id}"
    opening = {"openedBy": "BUYER", "reason": "NOT_DELIVERED"}
    for path, body in ((f"{order}/resolution/refund", {"reason": "late"}), (f"{order}/resolution/dispute", opening)):
        missing = await api.client.post(path, json=body)
        assert refusal(missing) == (400, "VALIDATION_ERROR")
        assert missing.json()["error"]["details"]["fields"][0]["field"] == "milestoneRef"
        assert refusal(await api.client.post(path, json={**body, "milestoneRef": "m9"})) == (404, "MILESTONE_NOT_FOUND")
    assert refusal(await api.client.post(f"{order}/resolution/release")) == (400, "VALIDATION_ERROR")
    assert refusal(await api.client.post(f"{order}/milestones/m9/release")) == (404, "MILESTONE_NOT_FOUND")
    accepted = await promised(
        await api.client.post(f"{order}/resolution/refund", json={"reason": "late", "milestone_ref": "m1"}, headers=NOW)
    )
    assert accepted["data"]["status"] == "IN_PROGRESS"
    assert accepted["data"]["operation"]["kind"] == "refund"


async def test_a_milestone_is_delivered_and_paid(api: Api) -> None:
    deal = await Deal.funded(api.market, IN_PARTS)
    path = f"/orders/{deal.order_id}/milestones/m0"
    await promised(await api.client.post(f"{path}/complete", json={"evidence": "in the repository"}, headers=NOW))
    await deal.finish(await deal.order())
    first = (await api.client.get(f"/orders/{deal.order_id}/milestones")).json()["data"][0]
    assert (first["status"], first["evidence"], bool(first["completedAt"])) == ("COMPLETED", "in the repository", True)
    again = await api.client.post(f"{path}/complete")
    assert (again.status_code, again.json()["operation"]["status"]) == (200, "SUCCEEDED")
    await promised(await api.client.post(f"{path}/release", headers=NOW))
    await deal.finish(await deal.order())
    first = (await api.client.get(f"/orders/{deal.order_id}")).json()["data"]["milestones"][0]
    assert (first["status"], bool(first["payoutTransactionHash"])) == ("RELEASED", True)
    busy = await api.client.post(f"/orders/{deal.order_id}/milestones/m0/complete")
    assert busy.json()["error"]["details"] == {"currentState": "RELEASED", "allowedStates": ["OPEN"]}


@pytest.mark.parametrize("spelling", ["assignedTo", "assigned_to", "agentId", "agent_id", "supportAgentId", "support_agent_id"])
async def test_a_dispute_from_its_opening_to_its_decision(api: Api, spelling: str) -> None:
    deal = await Deal.funded(api.market)
    dispute = await open_dispute(api, deal)
    assert (dispute["status"], dispute["amount"], dispute["openedBy"]) == ("OPEN", "80.00", "SELLER")
    path = f"/disputes/{dispute['id']}"
    async with api.acting(await api.key("support")) as agent:
        early = await agent.post(f"{path}/resolve", json={"decision": "FULL_REFUND"})
        assert refusal(early) == (409, "ESCROW_NOT_READY")
        await deal.finish(await deal.order())
        taken = await created(await agent.post(f"{path}/assign", json={spelling: "agent-7", "notes": "look"}))
        assert (taken["status"], taken["assignedTo"], taken["notes"]) == ("UNDER_REVIEW", "agent-7", "look")
        half = {"decision": "SPLIT", "releaseAmount": "40.00", "refundAmount": "39.99"}
        assert refusal(await agent.post(f"{path}/resolve", json=half)) == (422, "RESERVE_MISMATCH_AMOUNT")
        split = {"decision": "SPLIT", "release_amount": "40.00", "refund_amount": "40.00", "note": "both are right"}
        decided = await promised(await agent.post(f"{path}/resolve", json=split, headers=NOW))
        assert (decided["data"]["status"], decided["data"]["decision"]) == ("RESOLVING", "SPLIT")
        late = await agent.post(f"{path}/resolve", json={"decision": "FULL_REFUND"})
        assert (refusal(late), late.json()["error"]["details"]["currentState"]) == ((409, "INVALID_STATE"), "RESOLVING")
        await deal.finish(await deal.order())
        shown = (await agent.get(path)).json()["data"]
    assert (shown["status"], shown["releaseAmount"], shown["refundAmount"], shown["note"]) == (
        "RESOLVED",
        "40.00",
        "40.00",
        "both are right",
    )
    assert shown["resolvedBy"].startswith("key_")
    assert shown["freezeTransactionHash"] != shown["resolutionTransactionHash"]
    order = (await api.client.get(f"/orders/{deal.order_id}")).json()["data"]
    assert (order["finalStatus"], order["dispute"]["id"]) == ("SPLIT", dispute["id"])


async def test_a_refusal_that_passes_is_judged_again_under_the_same_key(api: Api) -> None:
    deal = await Deal.funded(api.market)
    dispute = await open_dispute(api, deal)
    async with api.acting(await api.key("support")) as agent:

        async def decide() -> httpx.Response:
            headers = {**NOW, "Idempotency-Key": "decide-once"}
            return await agent.post(f"/disputes/{dispute['id']}/resolve", json={"decision": "FULL_REFUND"}, headers=headers)

        assert refusal(await decide()) == (409, "ESCROW_NOT_READY")
        await deal.finish(await deal.order())
        decided, repeated = await promised(await decide()), await promised(await decide())
    assert repeated["operation"]["id"] == decided["operation"]["id"]


async def test_who_writes_takes_part_but_does_not_decide(api: Api) -> None:
    deal = await Deal.funded(api.market)
    path = f"/disputes/{(await open_dispute(api, deal))['id']}"
    for command, body in (("assign", {"assignedTo": "x"}), ("resolve", {"decision": "FULL_REFUND"})):
        answer = await api.client.post(f"{path}/{command}", json=body)
        assert (refusal(answer), answer.json()["error"]["details"]["requiredScope"]) == ((403, "INSUFFICIENT_SCOPE"), "support")
    said = [
        ("evidence", {"text": "a photo", "url": "https://example.com/p.jpg", "sha256": "ab" * 32, "author": "buyer-1"}),
        ("evidence", {"description": "a letter", "submitted_by": "seller-1"}),
        ("messages", {"message": "It was delivered."}),
    ]
    for where, body in said:
        answer = await api.client.post(f"{path}/{where}", json=body)
        assert (answer.status_code, answer.headers["location"]) == (201, f"/api/v1{path}"), answer.text
        assert len(answer.json()["data"]["contentHash"]) == 64
    shown = (await api.client.get(path)).json()["data"]
    assert [(one["author"], one["content"]["text"]) for one in shown["evidence"]] == [
        ("SELLER", "a letter"),
        ("buyer-1", "a photo"),
        ("seller-1", "a letter"),
    ]
    assert [one["content"] for one in shown["messages"]] == [{"text": "It was delivered."}]
    assert shown["messages"][0]["author"].startswith("key_")


async def test_disputes_are_listed_by_filters_and_pages(api: Api) -> None:
    await api.market.restock(4)
    deals = [await Deal.funded(api.market) for _ in range(3)]
    ids = [(await open_dispute(api, deal, openedBy=by))["id"] for deal, by in zip(deals, ("BUYER", "SELLER", "BUYER"), strict=True)]
    async with api.acting(await api.key("support")) as agent:
        await agent.post(f"/disputes/{ids[2]}/assign", json={"assignedTo": "agent-7"})

    async def listed(**filters: str) -> list[str]:
        answer = await api.client.get("/disputes", params=filters)
        assert answer.status_code == 200, answer.text
        return [one["id"] for one in answer.json()["data"]]

    assert await listed() == ids[::-1]
    assert await listed(orderId=deals[1].order_id) == [ids[1]]
    assert await listed(opened_by="BUYER") == [ids[2], ids[0]]
    assert await listed(openedBy="BUYER", status="OPEN") == [ids[0]]
    assert await listed(assignedTo="agent-7") == [ids[2]]
    assert await listed(assigned_to="agent-8") == []
    assert await listed(limit="1", cursor=ids[2]) == [ids[1]]
    assert (await api.client.get("/disputes", params={"status": "LOST"})).status_code == 400
    assert refusal(await api.client.get("/disputes/dsp_none")) == (404, "DISPUTE_NOT_FOUND")


async def test_an_order_shows_its_deadlines_while_they_run(api: Api) -> None:
    deal = await Deal.agreed(api.market, Wish(reservation_expires_after_s=3_600, auto_release_after_s=7_200))

    async def deadlines() -> tuple[bool, bool]:
        order = (await api.client.get(f"/orders/{deal.order_id}")).json()["data"]
        assert (order["reservationExpiresAfterSeconds"], order["autoReleaseAfterSeconds"]) == (3_600, 7_200)
        return bool(order["reservationExpiresAt"]), bool(order["autoReleaseAt"])

    assert await deadlines() == (False, False)
    await api.client.post(f"/orders/{deal.order_id}/reserve")
    assert await deadlines() == (True, False)
    await promised(await api.client.post(f"/orders/{deal.order_id}/checkout", headers=NOW))
    await deal.finish(await deal.order())
    assert await deadlines() == (False, False)
    extend = f"/orders/{deal.order_id}/resolution/extend"
    assert refusal(await api.client.post(extend, json={"extendBySeconds": 60})) == (409, "INVALID_STATE")
    await promised(await api.client.post(f"/orders/{deal.order_id}/milestones/m0/complete", headers=NOW))
    await deal.finish(await deal.order())
    assert await deadlines() == (False, True)
    before = (await deal.order()).auto_release_at
    later = await created(await api.client.post(extend, json={"extend_by_seconds": 60, "requested_by": "seller"}))
    after = (await deal.order()).auto_release_at
    assert before is not None
    assert after is not None
    assert (after - before).total_seconds() == 60
    assert later["autoReleaseAt"].startswith(after.strftime("%Y-%m-%dT%H:%M:%S"))
    assert refusal(await api.client.post(extend, json={"extendBySeconds": 31_536_000})) == (422, "LIMIT_EXCEEDED")
    await promised(await api.client.post(f"/orders/{deal.order_id}/resolution/release", headers=NOW))
    await deal.finish(await deal.order())
    assert await deadlines() == (False, False)


async def test_the_settings_decide_when_a_dispute_is_escalated_and_decided(postgres_url: str, redis_url: str) -> None:
    more = {"dispute_escalates_after_s": 60, "dispute_decides_after_s": 120, "dispute_default_decision": "FULL_REFUND"}
    async with opened(postgres_url, redis_url, **more) as api:
        dispute = await open_dispute(api, await Deal.funded(api.market))
    assert dispute["escalatesAt"] < dispute["decidesAt"]
    assert (dispute["defaultDecision"], dispute["escalatedAt"]) == ("FULL_REFUND", None)


async def test_a_milestone_orders_quote_sums_what_each_part_loses(api: Api) -> None:
    deal = await Deal.agreed(api.market, Wish(parts=(333, 333, 333), fee_bps=100))
    quote = (await api.client.get(f"/orders/{deal.order_id}")).json()["data"]["quote"]
    # floor(333 · 1 %) = 3 and floor(333 · 0.3 %) = 0, three times over; of 999 at once it would be 9 and 2.
    assert quote == {
        "amount": "0.0000999",
        "platformFee": "0.0000009",
        "protocolFee": "0.00",
        "sellerReceives": "0.000099",
        "buyerReceivesOnRefund": "0.000099",
    }


@pytest.mark.parametrize("reference", ["a\nb", "a\r", "  ", ""])
async def test_a_reference_is_one_line_as_it_stands_in_addresses(api: Api, reference: str) -> None:
    assert refusal(await api.client.post("/users", json={"externalUserId": reference})) == (400, "VALIDATION_ERROR")
