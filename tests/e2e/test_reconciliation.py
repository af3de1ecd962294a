"""The reconciler beside a running worker: on demand, by the clock, against real escrow contracts, and under load."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import httpx
import pytest
from stellar_sdk import Asset, Keypair, Server, TransactionBuilder
from temporalio.client import ScheduleOverlapPolicy
from temporalio.service import RPCError

from activities.schedules import schedule_reconciliation
from offerhub.commands.reconciliation import request_run
from offerhub.domain import ledger
from offerhub.domain.messages import DEPOSITS_WORKFLOW_ID, RECONCILIATION_WORKFLOW_ID
from offerhub.domain.money import format_amount
from offerhub.domain.reconciliation import Finding, Part
from offerhub.reconciliation.run import Reconciler
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork
from offerhub.storage import reconciliation
from offerhub.storage.reconciliation import RunRecord
from offerhub.storage.users import UserRecord
from tests.e2e.rig import Rig, acting
from tests.integration.chain.town import transfer_by_contract

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

AMOUNT = 250_000_000


async def test_a_run_on_demand_looks_at_every_part(rig: Rig) -> None:
    user = await rig.user()
    await rig.deposit(user, AMOUNT)
    async with rig.database.transaction(acting()) as transaction:
        run = await request_run(transaction, "request")

    async def completed() -> RunRecord | None:
        async with rig.database.reading() as reader:
            found = await reconciliation.get_run(reader, run.id)
        return found if found is not None and found.status == "COMPLETED" else None

    finished: RunRecord = await rig.until(completed)
    assert set(finished.figures) == set(Part)
    assert finished.figures["wallets"]["checked"] >= 1
    assert finished.figures["platform"]["checked"] >= 4
    async with rig.database.reading() as reader:
        findings = await reconciliation.findings(reader, run.id, 1_000)
    assert user.id not in {finding.user_id for finding in findings}
    assert {finding.kind for finding in findings} <= {"WALLET_DRIFT"}, "only what other tests did to the books"
    described = await (await rig.temporal()).get_workflow_handle(f"reconciliation/{run.id}").describe()
    assert await described.static_summary() == f"Books and chain compared, on demand · {run.id}"


async def test_the_schedule_is_there_once_and_can_be_switched_off(rig: Rig) -> None:
    client = await rig.temporal()
    handle = client.get_schedule_handle(RECONCILIATION_WORKFLOW_ID)
    schedule = (await handle.describe()).schedule
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(minutes=60)]
    assert schedule.policy.overlap is ScheduleOverlapPolicy.SKIP
    await handle.pause()
    await schedule_reconciliation(client, timedelta(minutes=30))
    schedule = (await handle.describe()).schedule
    assert [interval.every for interval in schedule.spec.intervals] == [timedelta(minutes=30)]
    assert schedule.state.paused
    for _ in range(2):
        await schedule_reconciliation(client, timedelta(0))
    with pytest.raises(RPCError):
        await handle.describe()
    await schedule_reconciliation(client, timedelta(minutes=60))


async def test_an_operator_may_accept_a_gap_only_where_there_is_one(rig: Rig) -> None:
    handle = (await rig.temporal()).get_workflow_handle(DEPOSITS_WORKFLOW_ID)
    await handle.signal("accept_gap", "anna: just trying")

    async def answered() -> bool:
        history = await handle.fetch_history()
        return "There is no gap to accept." in str([event.activity_task_completed_event_attributes for event in history.events])

    await rig.until(answered)
    user = await rig.user()
    await rig.deposit(user, AMOUNT)


async def test_an_escrow_that_somebody_paid_into(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    escrow = (await rig.read_order(order.id)).the_escrow
    async with reconciling(rig) as reconciler:
        assert await _escrow_findings(reconciler, escrow.id) == []
        await asyncio.to_thread(_top_up, rig, str(escrow.contract_id), 12_345)
        [drift] = await _escrow_findings(reconciler, escrow.id)
    assert (drift.kind, drift.expected_stroops, drift.found_stroops) == ("ESCROW_DRIFT", AMOUNT, AMOUNT + 12_345)
    assert "Somebody paid into the contract directly" in drift.explanation
    assert await rig.balance(ledger.in_escrow(escrow.id)) == AMOUNT


async def test_a_closed_escrow_that_somebody_paid_into(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.funded(order.id)
    await rig.succeeded(await rig.accept_release(order.id))
    escrow = (await rig.closed(order.id, "RELEASED")).the_escrow
    async with reconciling(rig) as reconciler:
        assert await _escrow_findings(reconciler, escrow.id) == []
        await asyncio.to_thread(_top_up, rig, str(escrow.contract_id), 12_345)
        [drift] = await _escrow_findings(reconciler, escrow.id)
    assert (drift.kind, drift.expected_stroops, drift.found_stroops) == ("ESCROW_DRIFT", 0, 12_345)


async def test_money_in_flight_is_never_a_false_alarm(rig: Rig) -> None:
    """Whole life cycles run while wallets, escrows and the platform are compared all the time."""
    parties = [(await rig.user(), await rig.user()) for _ in range(3)]
    escrows: list[str] = []

    async def life_cycle(buyer: UserRecord, seller: UserRecord) -> None:
        await rig.deposit(buyer, AMOUNT)
        order = await rig.order(buyer, seller, AMOUNT)
        await rig.funded(order.id)
        escrows.append((await rig.read_order(order.id)).the_escrow.id)
        await rig.succeeded(await rig.accept_release(order.id))

    ours = {user.id for pair in parties for user in pair}
    looks, alarms = 0, list[Finding]()
    async with reconciling(rig) as reconciler:
        running = asyncio.gather(*(life_cycle(*pair) for pair in parties))
        while not running.done():
            states = await asyncio.gather(*(reconciler.wallets.user(user_id) for user_id in ours))
            platform, _ = await reconciler.page("", Part.PLATFORM, "")
            alarms += [finding for state in states if state for finding in state.findings] + list(platform.findings)
            for escrow in [*escrows]:
                alarms += await _escrow_findings(reconciler, escrow)
            looks += 1
        await running
        settled = await asyncio.gather(*(reconciler.wallets.user(user_id) for user_id in ours))
    assert alarms == []
    assert looks >= 2
    assert all(state is not None and state.agrees for state in settled)


@asynccontextmanager
async def reconciling(rig: Rig) -> AsyncIterator[Reconciler]:
    environment = rig.sandbox.environment
    names = ("NETWORK_PASSPHRASE", "USDC_ISSUER", "TRUSTLESS_WORK_FACTORY", "TRUSTLESS_WORK_WASM_HASH", "TRUSTLESS_WORK_FEE_ADDRESS")
    network = StellarNetwork(*(environment[name] for name in names))
    async with httpx.AsyncClient(timeout=60) as http:
        server = ContractRpc(environment["STELLAR_RPC_URL"], network, http)
        yield Reconciler(rig.database, Horizon(rig.sandbox.url, network, http), network, server, 50)


async def _escrow_findings(reconciler: Reconciler, escrow_id: str) -> list[Finding]:
    page, _ = await reconciler.page("", Part.ESCROWS, "")
    return [finding for finding in page.findings if finding.resource_id == escrow_id]


def _top_up(rig: Rig, contract_id: str, stroops: int) -> None:
    """As anybody can: a transfer of the asset contract."""
    payer = Keypair.random()
    server = Server(rig.sandbox.url)
    usdc, passphrase = Asset("USDC", rig.sandbox.environment["USDC_ISSUER"]), rig.sandbox.environment["NETWORK_PASSPHRASE"]
    with httpx.Client(base_url=rig.sandbox.url, timeout=40) as http:
        http.get("/friendbot", params={"addr": payer.public_key}).raise_for_status()
        trust = (
            TransactionBuilder(server.load_account(payer.public_key), passphrase).append_change_trust_op(usdc).add_time_bounds(0, 0).build()
        )
        trust.sign(payer)
        http.post("/transactions", data={"tx": trust.to_xdr()}).raise_for_status()
        http.post("/control/faucet", json={"address": payer.public_key, "amount": format_amount(10_000_000)}).raise_for_status()
    transfer_by_contract(rig.sandbox, payer, contract_id, stroops)
