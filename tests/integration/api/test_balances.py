"""Balances at a moment and explained, statements, what moved through a wallet; and that no call changes a balance directly."""

from __future__ import annotations

import csv
import io
from dataclasses import replace
from typing import Any

import pytest

from api import statements
from api.balances import _INSTEAD
from api.schemas.answers import One, Page
from api.schemas.balances import BareBalance, Statement
from api.schemas.users import WalletTransaction
from offerhub.commands.operations import book_operation
from offerhub.commands.withdrawals import book_withdrawal
from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.messages import Movement
from offerhub.storage import replay
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.integration.api.conftest import Api
from tests.integration.commands.market import OUTSIDE, PLATFORM
from tests.integration.commands.test_order_life import AMOUNT, TW, approved, funded

FIGURES = ("available", "reserved", "inEscrow", "inTransit")


async def released(api: Api) -> tuple[UserRecord, UserRecord, OrderRecord]:
    buyer, seller, order = await funded(api.market, fee_bps=250)
    operation_id = await approved(api.market, order, buyer, seller)
    contract = str(order.the_escrow.contract_id)
    payout = await api.market.sign(operation_id, str(buyer.public_key))
    fees = (Movement(contract, TW, 2_400_000), Movement(contract, PLATFORM, 20_000_000))
    await api.market.apply(payout, *fees, Movement(contract, str(seller.public_key), 777_600_000))
    async with api.market.command() as transaction:
        await book_operation(transaction, operation_id)
    return buyer, seller, await api.market.get(order)


async def withdrawn(api: Api, user: UserRecord, amount_stroops: int) -> str:
    accepted = await api.market.withdraw(user, amount_stroops)
    attempt = await api.market.sign_withdrawal(accepted.operation.id, str(user.public_key))
    await api.market.apply(attempt, Movement(str(user.public_key), OUTSIDE.address, amount_stroops))
    async with api.market.command() as transaction:
        await book_withdrawal(transaction, accepted.operation.id)
    return attempt.inner_hash


async def balance(api: Api, user: UserRecord, **query: str) -> dict[str, Any]:
    answer = await api.client.get(f"/users/{user.id}/balance", params=query)
    assert answer.status_code == 200, answer.text
    BareBalance.model_validate_json(answer.content, by_name=False, by_alias=True)
    data: dict[str, Any] = answer.json()["data"]
    return data


async def statement(api: Api, user: UserRecord, **query: str) -> dict[str, Any]:
    answer = await api.client.get(f"/users/{user.id}/statement", params=query)
    assert answer.status_code == 200, answer.text
    One[Statement].model_validate_json(answer.content, by_name=False, by_alias=True)
    data: dict[str, Any] = answer.json()["data"]
    return data


def figures(shown: dict[str, Any]) -> tuple[str, ...]:
    return tuple(shown[name] for name in FIGURES)


async def test_the_balance_after_each_step_of_an_order(api: Api) -> None:
    buyer, seller, _ = await released(api)
    entries = (await statement(api, buyer))["entries"]
    assert [entry["kind"] for entry in entries] == ["deposit", "reserve", "fund", "release"]
    for entry in entries:
        then = await balance(api, buyer, at=entry["bookedAt"])
        assert figures(then) == figures(entry["balance"])
        assert then["at"] == then["updatedAt"] == entry["bookedAt"] or entry["kind"] == "release"
    assert figures(await balance(api, buyer, at="2020-01-01T00:00:00Z")) == ("0.00",) * 4
    assert figures(await balance(api, buyer, at="2099-01-01T00:00:00Z")) == figures(await balance(api, buyer))
    assert figures(await balance(api, seller)) == ("77.76", "0.00", "0.00", "0.00")


async def test_a_balance_is_explained_by_its_entries(api: Api) -> None:
    buyer, seller, order = await released(api)
    explained = (await balance(api, seller, explain="1"))["explanation"]
    [entry] = explained["available"]["entries"]
    assert (entry["amount"], entry["orderId"], entry["counterparty"]) == ("77.76", order.id, buyer.id)
    assert entry["transactionHash"] == order.the_escrow.release_hash
    spent = (await balance(api, buyer, explain="1"))["explanation"]
    assert [entry["amount"] for entry in spent["available"]["entries"]] == ["80.00", "-80.00"]
    assert [entry["amount"] for entry in spent["reserved"]["entries"]] == ["80.00", "-80.00"]
    assert spent["inEscrow"]["entries"] == [], "an empty escrow explains nothing"
    at_funding = (await statement(api, buyer))["entries"][2]
    then = (await balance(api, buyer, explain="1", at=at_funding["bookedAt"]))["explanation"]
    assert [(entry["id"], entry["amount"]) for entry in then["inEscrow"]["entries"]] == [(at_funding["id"], "80.00")]


async def test_what_is_not_listed_of_an_explanation_is_summed_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.balances._SHOWN_ENTRIES", 2)
    user = await api.market.user(10_000_000)
    for amount in (20_000_000, 30_000_000, 45_000_000):
        await api.market.deposit(user, amount)
    available = (await balance(api, user, explain="true"))["explanation"]["available"]
    assert (available["amount"], available["earlierEntries"], available["earlierAmount"]) == ("10.50", 2, "3.00")
    assert [entry["amount"] for entry in available["entries"]] == ["3.00", "4.50"]


async def test_statements_join_up(api: Api) -> None:
    buyer, _, order = await released(api)
    whole = await statement(api, buyer)
    assert whole["from"] is None
    assert (figures(whole["opening"]), figures(whole["closing"])) == (("0.00",) * 4, ("0.00",) * 4)
    hashes = [entry["transactionHash"] for entry in whole["entries"]]
    assert hashes[1:] == [None, order.the_escrow.fund_hash, order.the_escrow.release_hash]
    assert whole["entries"][2]["change"] == {
        "available": "0.00",
        "reserved": "-80.00",
        "inEscrow": "80.00",
        "inTransit": "0.00",
        "total": "0.00",
    }
    middle = whole["entries"][2]["bookedAt"]
    first, second = await statement(api, buyer, to=middle), await statement(api, buyer, **{"from": middle})
    assert first["closing"] == second["opening"] == whole["entries"][1]["balance"]
    assert first["entries"] + second["entries"] == whole["entries"]
    assert second["closing"] == whole["closing"]
    empty = await statement(api, buyer, **{"from": middle, "to": middle})
    assert (empty["entries"], empty["opening"]) == ([], empty["closing"])


async def test_a_statement_comes_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.statements._PAGE", 2)
    user = await api.market.user(10_000_000)
    for _ in range(4):
        await api.market.deposit(user, 10_000_000)
    shown = await statement(api, user)
    assert [entry["balance"]["available"] for entry in shown["entries"]] == ["1.00", "2.00", "3.00", "4.00", "5.00"]
    monkeypatch.setattr("api.statements.MOST_ENTRIES", 4)
    refused = await api.client.get(f"/users/{user.id}/statement")
    assert (refused.status_code, refused.json()["error"]["code"]) == (422, "LIMIT_EXCEEDED")


async def test_a_statement_that_does_not_add_up_is_broken_off(api: Api) -> None:
    user = await api.market.user(10_000_000)
    async with api.services.database.reading() as reader:
        period = await replay.period(reader, user.id, None, None)
    assert period is not None
    missing = replace(period, posting_ids=[])
    with pytest.raises(LedgerMismatchError, match="sum up to"):
        _ = [page async for page in statements._lines(api.services.database, user.id, missing)]
    assert len([page async for page in statements._lines(api.services.database, user.id, period)]) == 1


@pytest.mark.parametrize("asked", [{"params": {"format": "csv"}}, {"headers": {"Accept": "text/csv"}}])
async def test_a_statement_as_csv_shows_and_never_runs(api: Api, asked: dict[str, Any]) -> None:
    buyer, seller = await api.market.user(100_000_000), await api.market.user()
    ref = '=HYPERLINK("http://evil.example","pay")'
    wish = {"buyerId": buyer.id, "sellerId": seller.id, "amount": "4.00", "title": "t", "clientOrderRef": ref}
    order = (await api.client.post("/orders", json=wish)).json()["data"]
    await api.client.post(f"/orders/{order['id']}/reserve")
    answer = await api.client.get(f"/users/{buyer.id}/statement", **asked)
    assert answer.headers["content-type"].startswith("text/csv")
    assert "attachment" in answer.headers["content-disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text, newline="")))
    assert [row["line"] for row in rows] == ["opening", "entry", "entry", "closing"]
    assert (rows[2]["clientOrderRef"], rows[2]["availableChange"], rows[2]["available"]) == (f"'{ref}", "-4.00", "6.00")
    assert (rows[0]["total"], rows[3]["total"], rows[3]["reserved"]) == ("0.00", "10.00", "4.00")
    as_json = await api.client.get(f"/users/{buyer.id}/statement", params={"format": "json"}, headers={"Accept": "text/csv"})
    assert as_json.headers["content-type"] == "application/json"


async def test_periods_and_moments_that_make_no_sense(api: Api) -> None:
    user = await api.market.user()
    wrong = [{"from": "2026-02-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, {"from": "yesterday"}, {"to": "2026-01-01T00:00:00"}]
    for query in [*wrong, {"format": "pdf"}, {"until": "x"}]:
        answer = await api.client.get(f"/users/{user.id}/statement", params=query)
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "VALIDATION_ERROR"), query
    assert (await api.client.get(f"/users/{user.id}/balance", params={"at": "noon"})).status_code == 400
    for path in ("balance", "balance?explain=1", "statement", "wallet", "wallet/deposit", "wallet/transactions"):
        missing = await api.client.get(f"/users/usr_nobody/{path}")
        assert (missing.status_code, missing.json()["error"]["code"]) == (404, "USER_NOT_FOUND"), path


async def test_what_moved_through_a_wallet(api: Api) -> None:
    buyer, seller, order = await released(api)
    paid_out = await withdrawn(api, seller, 100_000_000)
    await api.market.withdraw(seller, 50_000_000)
    answer = await api.client.get(f"/users/{seller.id}/wallet/transactions")
    Page[WalletTransaction].model_validate_json(answer.content, by_name=False, by_alias=True)
    moved = [(one["kind"], one["amount"], one["transactionHash"], one["counterparty"]) for one in answer.json()["data"]]
    assert moved == [
        ("withdrawn", "-10.00", paid_out, OUTSIDE.address),
        ("release", "77.76", order.the_escrow.release_hash, buyer.id),
    ]
    contract = order.the_escrow.contract_id
    ways = [(one["type"], one["from"], one["to"], one["hash"], one["asset"], one["successful"]) for one in answer.json()["data"]]
    assert ways == [
        ("withdrawn", seller.public_key, OUTSIDE.address, paid_out, "USDC", True),
        ("release", contract, seller.public_key, order.the_escrow.release_hash, "USDC", True),
    ]
    spent = (await api.client.get(f"/users/{buyer.id}/wallet/transactions", params={"limit": 1})).json()
    assert [(one["kind"], one["amount"], one["orderId"]) for one in spent["data"]] == [("fund", "-80.00", order.id)]
    assert [(one["from"], one["to"]) for one in spent["data"]] == [(buyer.public_key, contract)]
    assert spent["hasMore"]
    rest = (await api.client.get(f"/users/{buyer.id}/wallet/transactions", params={"cursor": spent["nextCursor"]})).json()
    assert [(one["kind"], one["counterparty"], one["amount"]) for one in rest["data"]] == [("deposit", "GOUTSIDE", "80.00")]
    assert not rest["hasMore"]
    for query in ({"limit": 101}, {"cursor": "usr_1"}, {"cursor": "post_0"}):
        assert (await api.client.get(f"/users/{buyer.id}/wallet/transactions", params=query)).status_code == 400
    sums = [balance.in_wallet for balance in (await api.market.books_of(buyer), await api.market.books_of(seller))]
    assert sums == [0, 777_600_000 - 100_000_000]


async def test_a_user_who_waits_for_a_wallet_has_moved_nothing(api: Api) -> None:
    users = [await api.market.user() for _ in range(9)]
    waiting = [user for user in users if (await api.market.refreshed(user)).public_key is None]
    assert waiting
    answer = await api.client.get(f"/users/{waiting[0].id}/wallet/transactions")
    assert (answer.status_code, answer.json()["data"]) == (200, [])
    assert (await api.client.get(f"/users/{waiting[0].id}/wallet/deposit")).json()["error"]["code"] == "WALLET_NOT_READY"


async def test_lumens_somebody_sent_are_shown_beside_the_balance(api: Api) -> None:
    user = await api.market.user(AMOUNT)
    await api.market.deposit(user, 15_000_000, asset="XLM")
    wallet = (await api.client.get(f"/users/{user.id}/wallet")).json()["data"]
    assert wallet["balance"] == {"usdc": "80.00", "xlm": "1.50"}
    shown = (await api.client.get(f"/users/{user.id}")).json()["data"]["wallet"]
    assert {"userId": user.id, **shown} == wallet


@pytest.mark.parametrize("change", ["credit", "debit", "reserve", "release", "cancel-reservation", "deduct-reserved"])
async def test_calls_past_the_books_are_refused_and_name_what_to_call(api: Api, change: str) -> None:
    user = await api.market.user(AMOUNT)
    answer = await api.client.post(f"/users/{user.id}/balance/{change}", json={"amount": "5.00", "reference": "r", "recipientId": "u"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (403, "BALANCE_CHANGE_NOT_ALLOWED")
    assert error["details"]["instead"] == _INSTEAD[change]
    assert error["details"]["instead"] in error["message"]
    assert await api.market.books_of(user) == replace(await api.market.books_of(user), available=AMOUNT)
    document = (await api.client.get("/openapi.json")).json()
    instead = [path for path in document["paths"] if path.removeprefix("/api/v1").replace("_id", "Id") in error["message"]]
    assert instead, "what is named exists"
