"""Composition root of the worker: settings → adapters → activities → Temporal workers, one per role (``WORKER_ROLES``).

Roles: ``orders`` (workflows, our books, Horizon, the outbox), ``trustless`` (Trustless Work), ``custody`` (the only one that reads the
key-encryption key), ``streams`` (deposits, reconciliation, event relay, audit seals). One process may serve all of them.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy
from temporalio.worker import PollerBehaviorAutoscaling, Worker
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from activities.books import BookActivities
from activities.chain import ChainActivities
from activities.delivery import DeliveryActivities, DeliveryTools
from activities.deposits import DepositActivities
from activities.disputes import DisputeActivities
from activities.engine_clock import follow_network_clock, watch_deadlines
from activities.envelope_check import EnvelopeCheck
from activities.escrow import EscrowActivities
from activities.failures import FailureInterceptor
from activities.housekeeping import keep_house
from activities.outbox import Dispatcher
from activities.read_back import ReadBackActivities
from activities.reconciliation import ReconciliationActivities
from activities.schedules import schedule_reconciliation
from activities.signing import SigningActivities, StockTarget
from activities.temporal_server import connect
from activities.wallets import WalletActivities
from activities.webhook_workflows import look_at_all_endpoints
from activities.withdrawals import WithdrawalActivities
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.custody.errors import CustodyError
from offerhub.custody.keys import LocalKeyEncryption
from offerhub.custody.vault import Vault
from offerhub.domain.messages import (
    CUSTODY_QUEUE,
    DEPOSITS_WORKFLOW_ID,
    ORDERS_QUEUE,
    STREAMS_QUEUE,
    TRUSTLESS_QUEUE,
    WALLET_STOCK_WORKFLOW_ID,
)
from offerhub.garbage import keep_what_is_loaded
from offerhub.providers.budget import TRUSTLESS_WORK, RequestBudget
from offerhub.providers.trustless_work import Access, TrustlessWork
from offerhub.reconciliation.run import Reconciler
from offerhub.settings import Settings, load_settings
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork, network_of
from offerhub.storage.unit_of_work import EVENTS_WRITTEN, MESSAGES_WRITTEN, Database
from offerhub.stream.hub import Hub
from offerhub.stream.nudges import Nudges
from offerhub.stream.relay import Relay
from offerhub.stream.sealer import Sealer
from offerhub.stream.webhook_secrets import WebhookKeyError, WebhookSecrets
from offerhub.stream.webhook_sending import WebhookSender
from offerhub.telemetry.logs import configure, get_logger
from workflows.compensation import CompensationWorkflow
from workflows.deposits import DepositsWorkflow
from workflows.dispute import DisputeWorkflow
from workflows.escrow_funding import EscrowFundingWorkflow
from workflows.milestone import MilestoneWorkflow
from workflows.order import OrderWorkflow
from workflows.reconciliation import ReconciliationWorkflow
from workflows.refund import RefundWorkflow
from workflows.release import ReleaseWorkflow
from workflows.remainder import RemainderWorkflow
from workflows.wallet_stock import WalletStockWorkflow
from workflows.webhook_delivery import WebhookDeliveryWorkflow
from workflows.withdrawal import WithdrawalWorkflow

# Most of the work is small reads and writes, which uvloop does with less CPU than asyncio's own loop.
if sys.platform == "win32":
    from asyncio import new_event_loop
else:
    from uvloop import new_event_loop

WORKFLOWS = [
    *(OrderWorkflow, EscrowFundingWorkflow, MilestoneWorkflow, ReleaseWorkflow, RefundWorkflow, CompensationWorkflow),
    *(RemainderWorkflow, DisputeWorkflow, WithdrawalWorkflow),
    *(WalletStockWorkflow, DepositsWorkflow, ReconciliationWorkflow, WebhookDeliveryWorkflow),
]
# The workflow's own module is still reloaded and checked; our pure modules need not be.
PASSED_THROUGH = ("offerhub", "workflows")
STOP_PATIENCE = timedelta(seconds=20)
# Its activities have ended long before.
STOP_LIMIT_S = 40.0
CACHED_WORKFLOWS = 2_000
# What waits for a worker that was killed goes to another after this; for one that is merely busy, that costs a replay.
DEAD_WORKER_NOTICED = timedelta(seconds=3)
RESTART_S = 2.0
_log = get_logger("worker")


@dataclass(frozen=True)
class Adapters:
    """Everything that talks to the outside, made once."""

    settings: Settings
    http: httpx.AsyncClient
    redis: Redis
    nudges: Nudges
    database: Database
    network: StellarNetwork
    horizon: Horizon
    rpc: ContractRpc
    check: EnvelopeCheck
    hub: Hub

    async def close(self) -> None:
        await self.nudges.close()
        await self.redis.aclose()
        await self.http.aclose()
        await self.database.close()


def build_adapters(settings: Settings) -> Adapters:
    http = httpx.AsyncClient(limits=httpx.Limits(max_connections=200, max_keepalive_connections=50))
    redis = Redis.from_url(settings.redis_url)
    nudges = Nudges(redis, (EVENTS_WRITTEN, MESSAGES_WRITTEN))
    network = network_of(settings)
    horizon = Horizon(settings.horizon_url, network, http)
    check = EnvelopeCheck(network, horizon, settings.max_fee_stroops)
    database = Database(settings.database_url, nudges.publish, pool_size=20)
    rpc = ContractRpc(settings.stellar_rpc_url, network, http)
    return Adapters(settings, http, redis, nudges, database, network, horizon, rpc, check, Hub(database, redis))


def _dispute_deadlines(settings: Settings) -> DisputeDeadlines:
    return DisputeDeadlines.configured(
        settings.dispute_escalates_after_s, settings.dispute_decides_after_s, settings.dispute_default_decision
    )


def activities_of_role(role: str, adapters: Adapters) -> tuple[str, list[Callable[..., Any]]]:
    """The task queue of a role and what it does there."""
    settings, database = adapters.settings, adapters.database
    if role == "trustless":
        budget = RequestBudget(adapters.redis, TRUSTLESS_WORK, settings.trustless_work_requests_per_minute)
        access = Access(settings.trustless_work_url, settings.trustless_work_api_key)
        trustless = TrustlessWork(access, settings.usdc_issuer, budget, adapters.http)
        escrow = EscrowActivities(database, trustless, adapters.check)
        return TRUSTLESS_QUEUE, [escrow.prepare_step, escrow.send_deploy, escrow.tell_index]
    if role == "custody":
        target = StockTarget(settings.wallet_stock, settings.platform_signers)
        signing = SigningActivities(database, _vault(settings), adapters.network, adapters.check, target)
        return CUSTODY_QUEUE, [signing.sign_step, signing.make_platform_accounts, signing.make_wallets]
    if role == "streams":
        deposits = DepositActivities(database, adapters.horizon, adapters.network)
        runs = ReconciliationActivities(database, _reconciler(adapters))
        streams: list[Callable[..., Any]] = [deposits.open_payments_cursor, deposits.follow_payments, deposits.accept_payments_gap]
        streams += [runs.begin_reconciliation, runs.reconcile_page, runs.finish_reconciliation]
        streams += [DeliveryActivities(_delivery_tools(adapters)).deliver_webhooks]
        return STREAMS_QUEUE, streams
    books = BookActivities(database, _dispute_deadlines(settings))
    chain = ChainActivities(database, adapters.horizon, adapters.network)
    read_back = ReadBackActivities(database, adapters.rpc, adapters.network)
    wallets = WalletActivities(database, adapters.horizon, adapters.network, adapters.check, settings.wallet_stock)
    activities: list[Callable[..., Any]] = [books.look_at_order, books.begin_operation, books.book_operation, books.refuse_operation]
    activities += [
        read_back.read_contract_back,
        read_back.observe_excess,
        read_back.withdraw_remaining,
        chain.submit_attempt,
        chain.settle_attempt,
        chain.read_movements_again,
        wallets.fund_account,
        wallets.prepare_own_step,
        wallets.confirm_accounts,
    ]
    activities += [wallets.book_platform_account, wallets.begin_activation, wallets.book_activation, wallets.watch_stock]
    activities += [books.pass_order_deadline]
    disputes = DisputeActivities(database)
    activities += [disputes.look_at_dispute, disputes.pass_dispute_deadline, disputes.decide_dispute]
    withdrawals = WithdrawalActivities(database)
    activities += [withdrawals.begin_withdrawal, withdrawals.book_withdrawal, withdrawals.refuse_withdrawal]
    return ORDERS_QUEUE, activities


def _delivery_tools(adapters: Adapters) -> DeliveryTools:
    settings = adapters.settings
    try:
        secrets = WebhookSecrets(settings.webhook_encryption_key)
    except WebhookKeyError as error:
        sys.exit(f"configuration: {error}")
    return DeliveryTools(adapters.database, adapters.hub, secrets, WebhookSender(allow_private=settings.allows_private_webhooks))


def _reconciler(adapters: Adapters) -> Reconciler:
    settings, network = adapters.settings, adapters.network
    return Reconciler(adapters.database, adapters.horizon, network, adapters.rpc, settings.platform_low_xlm)


def workflow_runner() -> SandboxedWorkflowRunner:
    return SandboxedWorkflowRunner(restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH))


def build_worker(role: str, client: Client, adapters: Adapters) -> Worker:
    task_queue, activities = activities_of_role(role, adapters)
    return Worker(
        client,
        task_queue=task_queue,
        activities=activities,
        workflows=WORKFLOWS if role == "orders" else [],
        workflow_runner=workflow_runner(),
        interceptors=[FailureInterceptor()],
        max_cached_workflows=CACHED_WORKFLOWS,
        sticky_queue_schedule_to_start_timeout=DEAD_WORKER_NOTICED,
        max_concurrent_activities=200,
        graceful_shutdown_timeout=STOP_PATIENCE,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(minimum=2, initial=5, maximum=20),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(minimum=1, initial=3, maximum=20),
        max_heartbeat_throttle_interval=timedelta(seconds=5),
        default_heartbeat_throttle_interval=timedelta(seconds=5),
    )


def _vault(settings: Settings) -> Vault:
    try:
        if settings.wallet_encryption_key_file:
            key = LocalKeyEncryption.from_file(Path(settings.wallet_encryption_key_file))
        else:
            key = LocalKeyEncryption.from_text(settings.wallet_encryption_key)
    except CustodyError as error:
        sys.exit(f"configuration: WALLET_ENCRYPTION_KEY or WALLET_ENCRYPTION_KEY_FILE: {error}")
    return Vault(key, settings.network_passphrase)


async def serve(settings: Settings, stop: asyncio.Event) -> None:
    """Run every configured role until ``stop``."""
    adapters = build_adapters(settings)
    try:
        client = await connect(settings.temporal_address, settings.temporal_namespace, stop)
        if client is None:
            return
        running = [asyncio.create_task(_keep(role, client, adapters, stop)) for role in sorted(settings.roles)]
        _log.info("worker.ready", roles=sorted(settings.roles), namespace=settings.temporal_namespace)
        await stop.wait()
        await asyncio.gather(*running)
    finally:
        await adapters.close()


async def _serve_role(role: str, client: Client, adapters: Adapters, stop: asyncio.Event) -> None:
    """The role's worker and what runs beside it, until ``stop`` or until one of them falls over."""
    worker = build_worker(role, client, adapters)
    stopping = asyncio.create_task(stop.wait())
    tasks = [asyncio.create_task(worker.run()), *(asyncio.create_task(work) for work in _beside(role, client, adapters))]
    try:
        await _start_singletons(role, client, adapters)
        done, _ = await asyncio.wait([stopping, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in done - {stopping}:
            task.result()
    finally:
        stopping.cancel()
        for task in tasks[1:]:
            task.cancel()
        if not tasks[0].done():
            await shut_down(worker, tasks[0])
        await asyncio.gather(*tasks, return_exceptions=True)


def _beside(role: str, client: Client, adapters: Adapters) -> list[Coroutine[Any, Any, None]]:
    if role == "orders":
        dispatcher = Dispatcher(adapters.database, client, adapters.nudges, adapters.settings.outbox_background_per_second)
        beside = [dispatcher.run(), keep_house(adapters.database), watch_deadlines(adapters.database)]
        is_sandbox = adapters.settings.stellar_network == "sandbox"
        return [*beside, follow_network_clock(adapters.database, adapters.horizon)] if is_sandbox else beside
    if role == "streams":
        return [Relay(adapters.database, adapters.redis, adapters.nudges).run(), adapters.hub.run(), Sealer(adapters.database).run()]
    return []


async def _start_singletons(role: str, client: Client, adapters: Adapters) -> None:
    if role == "orders":
        await _start_once(client, WalletStockWorkflow.run, WALLET_STOCK_WORKFLOW_ID, "Platform accounts and wallet stock")
    if role == "streams":
        await _start_once(client, DepositsWorkflow.run, DEPOSITS_WORKFLOW_ID, "Deposits from the payments stream")
        await schedule_reconciliation(client, timedelta(minutes=adapters.settings.reconciliation_minutes))
        await look_at_all_endpoints(client, adapters.database)


async def shut_down(worker: Worker, running: asyncio.Task[None]) -> None:
    """Under load Temporal's core sometimes never returns from the last step of a shutdown: then it is abandoned.

    ``temporalio/sdk-rust`` issue 1537 is of this kind: an activity's heartbeat is under way when its worker stops.
    """
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await worker.shutdown()
    except TimeoutError:
        _log.warning("worker.shutdown_abandoned", task_queue=worker.task_queue, after_s=STOP_LIMIT_S)
        running.cancel()


async def _keep(role: str, client: Client, adapters: Adapters, stop: asyncio.Event) -> None:
    """A role that falls over for whatever reason is started again."""
    while not stop.is_set():
        try:
            await _serve_role(role, client, adapters, stop)
        except Exception as error:  # noqa: BLE001 - said in the log, and the role starts again
            _log.warning("worker.role_failed", role=role, error=repr(error)[:500])
        if not stop.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RESTART_S)


async def _start_once(client: Client, workflow: Callable[..., Any], workflow_id: str, summary: str) -> None:
    await client.start_workflow(
        workflow,
        id=workflow_id,
        task_queue=ORDERS_QUEUE,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        static_summary=summary,
    )


async def _main(settings: Settings) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(settings, stop)


def main() -> None:
    settings = load_settings()
    configure(settings.log_level, settings.log_format)
    keep_what_is_loaded()
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(_main(settings))
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's threads may abort the interpreter while it takes itself down; everything is closed by now.
    os._exit(0)


if __name__ == "__main__":
    main()
