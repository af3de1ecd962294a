"""``?dryRun=true``: on everything that moves money and nowhere else; nothing is written, and the execution equals the quote."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from api.app import _RESOURCES
from api.schemas.answers import One
from api.schemas.quotes import DryRunQuote
from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release, request_release
from offerhub.domain.money import format_amount, parse_chain_amount
from offerhub.domain.states import Decision, OrderState
from offerhub.storage.unit_of_work import Database
from tests.e2e.outside import OutsideAccount
from tests.integration.api.conftest import Api, opened
from tests.integration.api.test_orders import created, parties, wish
from tests.integration.commands.deal import Deal, Wish
from tests.integration.commands.disputing import decide
from tests.services import SandboxServer

pytestmark = pytest.mark.slow

DRY = {"dryRun": "true"}
CHANGING = [route for resource in _RESOURCES for route in resource.routes.declared if route.method != "GET"]
QUOTING = {f"POST {route.path}" for route in CHANGING if route.gate.quotes}
PARTS = (100_000_001, 200_000_003)
# The time of a key's last use is noted now and then.
_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'api_keys' ORDER BY 1"


@pytest.fixture
async def api(postgres_url: str, redis_url: str, sandbox: SandboxServer) -> AsyncIterator[Api]:
    """With a network to look destinations up on."""
    there = {"horizon_url": sandbox.url, "usdc_issuer": sandbox.environment["USDC_ISSUER"]}
    async with opened(postgres_url, redis_url, **there) as running:
        yield running


async def everything(database: Database) -> dict[str, tuple[int, str]]:
    """Rows and contents of every table."""
    async with database.engine.connect() as connection:
        tables = [row.tablename for row in await connection.exec_driver_sql(_TABLES)]
        found = {}
        for table in tables:
            statement = f"SELECT count(*) AS rows, md5(coalesce(string_agg(t::text, ',' ORDER BY t::text), '')) AS contents FROM {table} t"  # noqa: S608
            row = (await connection.exec_driver_sql(statement)).one()
            found[table] = (row.rows, row.contents)
    return found


async def requests(api: Api, sandbox: SandboxServer) -> dict[str, tuple[str, dict[str, Any] | None]]:
    """For every route that quotes a request that would be accepted: its path and body."""
    await api.market.restock(20)
    states = (OrderState.ORDER_CREATED, OrderState.FUNDS_RESERVED, OrderState.ESCROW_FUNDING, OrderState.IN_PROGRESS, OrderState.DISPUTED)
    new, reserved, waiting, running, disputed = [await Deal.in_state(api.market, state) for state in states]
    owing = await Deal.owing_fees(api.market)
    in_parts = await Deal.funded(api.market, Wish(parts=PARTS))
    payee = {
        "userId": new.buyer.id,
        "amount": "5.00",
        "destinationType": "crypto",
        "destinationRef": (await OutsideAccount.open(sandbox)).address,
    }
    return {
        "POST /orders": ("/orders", wish(new.buyer.id, new.seller.id, checkout="fund")),
        "POST /orders/{order_id}/reserve": (f"/orders/{new.order_id}/reserve", None),
        "POST /orders/{order_id}/escrow": (f"/orders/{reserved.order_id}/escrow", None),
        "POST /orders/{order_id}/escrow/fund": (f"/orders/{waiting.order_id}/escrow/fund", None),
        "POST /orders/{order_id}/checkout": (f"/orders/{new.order_id}/checkout", None),
        "POST /orders/{order_id}/resolution/release": (f"/orders/{running.order_id}/resolution/release", None),
        "POST /orders/{order_id}/resolution/refund": (f"/orders/{running.order_id}/resolution/refund", {"reason": "late"}),
        "POST /orders/{order_id}/resolution/compensation": (f"/orders/{owing.order_id}/resolution/compensation", None),
        "POST /orders/{order_id}/milestones/{ref}/release": (f"/orders/{in_parts.order_id}/milestones/m1/release", None),
        "POST /disputes/{dispute_id}/resolve": (f"/disputes/{(await disputed.order()).dispute_id}/resolve", {"decision": "FULL_REFUND"}),
        "POST /withdrawals": ("/withdrawals", payee),
    }


async def test_nothing_is_written_whatever_is_asked(api: Api, sandbox: SandboxServer) -> None:
    asked = await requests(api, sandbox)
    assert set(asked) == QUOTING, "a route that quotes is not tried here"
    async with api.acting(await api.key("*")) as client:
        before = await everything(api.market.database)
        for route, (path, body) in asked.items():
            for headers in ({}, {"Idempotency-Key": f"try-{len(path)}"}):
                answer = await client.post(path, params=DRY, json=body, headers=headers)
                assert answer.status_code == 200, (route, answer.text)
                quote = One[DryRunQuote].model_validate_json(answer.content, by_name=False, by_alias=True).data
                assert sum(parse_chain_amount(share.amount) for share in quote.receivers) > 0, route
                assert quote.expected_seconds == 6 * len(quote.steps), route
    assert await everything(api.market.database) == before


async def test_what_would_be_refused_is_refused_and_nothing_kept(api: Api) -> None:
    buyer, seller = await parties(api, amount=1)
    order = await created(await api.client.post("/orders", json=wish(buyer, seller)))
    before = await everything(api.market.database)
    for path, body in ((f"/orders/{order['id']}/reserve", None), (f"/orders/{order['id']}/checkout", None)):
        answer = await api.client.post(path, params=DRY, json=body, headers={"Idempotency-Key": "try"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (422, "INSUFFICIENT_FUNDS")
    assert await everything(api.market.database) == before


async def test_an_order_without_money_has_nothing_to_quote(api: Api) -> None:
    buyer, seller = await parties(api)
    for more in ({"checkout": "reserve"}, {"checkout": "fund"}):
        answer = await api.client.post("/orders", params=DRY, json=wish(buyer, seller, **more))
        assert answer.status_code == 200, answer.text
    assert (await api.client.post("/orders", params=DRY, json=wish(buyer, seller))).status_code == 400
    assert (await api.client.get("/orders")).json()["data"] == []


async def test_what_moves_no_money_cannot_be_tried_without_being_done(api: Api) -> None:
    async with api.acting(await api.key("*")) as client:
        for route in CHANGING:
            if f"POST {route.path}" in QUOTING:
                continue
            path = "/".join("none" if part.startswith("{") else part for part in route.path.split("/"))
            answer = await client.request(route.method, path, params=DRY)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR"), route.path
            assert answer.json()["error"]["details"]["fields"][0]["field"] == "dryRun", route.path


@pytest.mark.parametrize("query", ["dryRun=True", "dryRun=1", "dryrun=true", "dryRun", "dryRun=", "dry-run=true", "simulate=true"])
async def test_a_misspelled_dry_run_moves_nothing(api: Api, query: str) -> None:
    deal = await Deal.agreed(api.market)
    answer = await api.client.post(f"/orders/{deal.order_id}/reserve?{query}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR")
    assert (await deal.order()).state is OrderState.ORDER_CREATED


@pytest.mark.parametrize(("query", "state"), [("dry_run=true", "ORDER_CREATED"), ("dryRun=false", "FUNDS_RESERVED")])
async def test_the_other_spellings(api: Api, query: str, state: str) -> None:
    deal = await Deal.agreed(api.market)
    assert (await api.client.post(f"/orders/{deal.order_id}/reserve?{query}")).status_code == 200
    assert (await deal.order()).state == state


async def test_while_drained_a_quote_is_still_given(api: Api) -> None:
    deal = await Deal.agreed(api.market)
    async with api.acting(await api.key("*")) as client:
        await client.post("/maintenance/drain", json={"reason": "new disks"})
        assert (await client.post(f"/orders/{deal.order_id}/checkout", params=DRY)).status_code == 200
        assert (await client.post(f"/orders/{deal.order_id}/checkout")).status_code == 503


async def test_repeating_what_is_done_would_move_nothing_more(api: Api) -> None:
    deal = await Deal.in_state(api.market, OrderState.CLOSED)
    quote = await created(await api.client.post(f"/orders/{deal.order_id}/resolution/release", params=DRY))
    assert (quote["gross"], quote["receivers"], quote["steps"]) == ("0.00", [], [])


@dataclass(frozen=True)
class Case:
    """``verb`` on an order of these amounts; ``share`` of it to the seller where it is split."""

    verb: str
    parts: tuple[int, ...]
    fee_bps: int
    whole: bool
    share: int


AMOUNTS = st.integers(2, 10**4) | st.integers(10**6, 10**15)
CASES = st.builds(
    Case,
    verb=st.sampled_from(["release", "refund", "FULL_RELEASE", "FULL_REFUND", "SPLIT"]),
    parts=st.lists(AMOUNTS, min_size=1, max_size=3).map(tuple),
    fee_bps=st.sampled_from([0, 1, 30, 250, 3_333, 9_900]) | st.integers(0, 9_900),
    whole=st.booleans(),
    share=st.integers(1, 10**15),
)


def drawn(count: int) -> list[Case]:
    found: list[Case] = []

    def collect(case: Case) -> None:
        found.append(case)

    calm: Callable[..., Any] = hypothesis_settings(max_examples=count, database=None, derandomize=True)
    calm(given(CASES)(collect))()
    return found


async def test_the_execution_equals_the_quote_to_the_stroop(api: Api) -> None:
    async with api.acting(await api.key("*")) as client:
        for case in drawn(40):
            await api.market.restock(2)
            single = len(case.parts) == 1
            deal = await Deal.funded(
                api.market,
                Wish(amount=case.parts[0], parts=() if single else case.parts, fee_bps=case.fee_bps, make_buyer_whole=case.whole),
            )
            await compare(client, deal, case)


async def compare(client: httpx.AsyncClient, deal: Deal, case: Case) -> None:
    ref, gross = (None, case.parts[0]) if len(case.parts) == 1 else ("m1", case.parts[1])
    path, body, carry_out = await asked(deal, case, ref)
    before = await deal.books()
    answer = await client.post(path, params=DRY, json=body)
    assert answer.status_code == 200, (case, answer.text)
    quote = answer.json()["data"]
    await carry_out()
    if (await deal.order()).operation is not None:
        await deal.finish(await deal.order())
    after = await deal.books()
    moved = {name: after.get(name, 0) - before.get(name, 0) for name in ("buyer", "seller", "escrow", "protocol")}
    promised = {
        "escrow": -parse_chain_amount(quote["gross"]),
        "protocol": parse_chain_amount(quote["protocolFee"]),
        "buyer": 0,
        "seller": 0,
    }
    for share in quote["receivers"]:
        promised[share["party"]] += parse_chain_amount(share["amount"])
    assert moved == promised, case
    assert quote["gross"] == format_amount(gross)
    assert sum(moved.values()) + parse_chain_amount(quote["platformFee"]) == (
        sum(parse_chain_amount(quote[fee]) for fee in ("platformFee", "protocolFee")) if "compensate" in str(quote["steps"]) else 0
    ), case


async def asked(deal: Deal, case: Case, ref: str | None) -> tuple[str, dict[str, Any] | None, Callable[[], Any]]:
    """The request that is quoted, and the same command carried out against a chain that agrees."""
    order = f"/orders/{deal.order_id}"
    if case.verb == "release":
        if ref is None:
            return f"{order}/resolution/release", None, lambda: _finish(deal, deal.do(request_release, None, None))
        return f"{order}/milestones/{ref}/release", None, lambda: _finish(deal, deal.do(request_milestone_release, ref))
    if case.verb == "refund":
        body = {"reason": "late"} | ({"milestoneRef": ref} if ref else {})
        return f"{order}/resolution/refund", body, lambda: _finish(deal, deal.do(request_refund, "late", ref))
    opened = await deal.dispute(milestone=ref)
    await deal.finish(opened)
    amount = opened.dispute.amount
    seller = 1 + case.share % (amount - 1)
    shares = (seller, amount - seller) if case.verb == "SPLIT" else ()
    body = {"decision": case.verb}
    body |= {"releaseAmount": format_amount(shares[0]), "refundAmount": format_amount(shares[1])} if shares else {}
    return (
        f"/disputes/{opened.dispute.id}/resolve",
        body,
        lambda: _finish(deal, decide(deal, opened.dispute.id, Decision(case.verb), *shares)),
    )


async def _finish(deal: Deal, accepting: Any) -> None:
    await deal.finish(await accepting)
