"""Reconciliation over HTTP: runs, findings, and one user compared with the network."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from api.schemas.reconciliation import BareBalanceComparison, BareBalanceSync, ReconciliationRunWithFindings
from offerhub.commands.deposits import book_payments
from offerhub.commands.reconciliation import Page, begin_run, finish_run, record_page
from offerhub.domain.reconciliation import Figures, Finding, FindingKind, Part
from offerhub.reconciliation import steady
from tests.integration.api.conftest import MASTER, Api, opened
from tests.integration.chain.town import Town
from tests.services import SandboxServer


@pytest.fixture
async def town_api(postgres_url: str, redis_url: str, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    monkeypatch.setattr(steady, "PAUSES_S", (0.05,))
    names = ("network_passphrase", "horizon_url", "usdc_issuer", "trustless_work_fee_address")
    wanted: dict[str, Any] = {name: sandbox.environment[name.upper()] for name in names}
    async with opened(postgres_url, redis_url, **wanted) as api:
        yield api


async def test_a_run_is_asked_for_and_read(api: Api) -> None:
    async with api.acting(MASTER) as master:
        answer = await master.post("/reconciliation/runs", headers={"Idempotency-Key": "now"})
        again = await master.post("/reconciliation/runs", headers={"Idempotency-Key": "now"})
        assert (answer.status_code, again.json()) == (202, answer.json())
        run_id = answer.json()["data"]["id"]
        assert answer.headers["location"].endswith(f"/reconciliation/runs/{run_id}")
        drift = Finding(FindingKind.WALLET_DRIFT, "wallet", "wal_1", "Two more.", 10_000_000, 30_000_000)
        async with api.market.command() as transaction:
            await begin_run(transaction, run_id)
            await record_page(transaction, run_id, Page(Part.WALLETS, "", Figures(100, 1), [drift]))
            await record_page(transaction, run_id, Page(Part.WALLETS, "wal_1", Figures(5, 0, 2), []))
            await finish_run(transaction, run_id)
        read = await master.get(f"/reconciliation/runs/{run_id}")
        ReconciliationRunWithFindings.model_validate(read.json()["data"])
        run = read.json()["data"]
        assert run["figures"] == {"wallets": {"checked": 105, "inMotion": 1, "notChecked": 2}}
        assert (run["status"], run["trigger"], run["requestedBy"], run["findingCount"]) == ("COMPLETED", "request", "master", 1)
        assert [(one["expected"], one["found"], one["firstRunId"]) for one in run["findings"]] == [("1.00", "3.00", run_id)]
        listed = (await master.get("/reconciliation/runs?limit=1")).json()
        assert [one["id"] for one in listed["data"]] == [run_id]
        assert (await master.get("/reconciliation/runs/rec_none")).status_code == 404
    assert (await api.client.get("/reconciliation/runs")).json()["error"]["code"] == "INSUFFICIENT_SCOPE"


async def test_a_user_is_compared_and_a_missed_deposit_credited(town_api: Api, sandbox: SandboxServer) -> None:
    async with Town.open(town_api.market.database, sandbox) as town:
        user = await town.user()
        while user.public_key not in town.keys:
            user = await town.user()
        path = f"/users/{user.id}/balance/sync"
        assert (await town_api.client.post(path)).json()["status"] == "AGREES"
        assert (await town_api.client.get(f"/users/{user.id}/balance/verify")).json()["status"] == "AGREES"
        await town.faucet(str(user.public_key), "5.00")
        assert (await town_api.client.post(path)).json()["status"] == "IN_MOTION"
        await _skip_ahead(town)
        answer = await town_api.client.get(f"/users/{user.id}/balance/verify")
        BareBalanceComparison.model_validate(answer.json())
        body = answer.json()
        assert (body["status"], body["available"], body["onChain"], body["difference"]) == ("DIFFERS", "0.00", "5.00", "5.00")
        assert await town.recorded(user) == [], "looking credits nothing"
        answer = await town_api.client.post(path, headers={"Idempotency-Key": "k"})
        BareBalanceSync.model_validate(answer.json())
        body = answer.json()
        assert (body["status"], body["available"], body["onChain"], body["difference"]) == ("CREDITED", "5.00", "5.00", "0.00")
        assert body["data"]["creditedDepositIds"] == [deposit.id for deposit in await town.recorded(user)]
        assert (await town_api.client.post(path, headers={"Idempotency-Key": "k"})).json() == body
        thief = await town.account()
        await town.pay_behind_our_back(user, (thief.public_key, "2"))
        body = (await town_api.client.post(path)).json()
        assert (body["status"], body["onChain"], body["booked"], body["difference"]) == ("DIFFERS", "3.00", "5.00", "-2.00")
        assert [one["kind"] for one in body["findings"]] == ["WALLET_DRIFT"]
        assert thief.public_key in body["findings"][0]["explanation"]
        assert body["available"] == "5.00"
        body = (await town_api.client.get(f"/users/{user.id}/balance/verify")).json()
        assert (body["status"], body["available"], body["booked"], body["difference"]) == ("DIFFERS", "5.00", "5.00", "-2.00")


async def test_without_a_network_the_comparison_says_so(api: Api) -> None:
    user = await api.market.user()
    answer = await api.client.post(f"/users/{user.id}/balance/sync")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "PROVIDER_UNAVAILABLE")
    answer = await api.client.get(f"/users/{user.id}/balance/verify")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "PROVIDER_UNAVAILABLE")
    assert (await api.client.post("/users/usr_none/balance/sync")).status_code == 404
    assert (await api.client.get("/users/usr_none/balance/verify")).status_code == 404


async def _skip_ahead(town: Town) -> None:
    last = (await town.payments(1))[0]["paging_token"]
    async with town.market.command() as transaction:
        await book_payments(transaction, [], last)
