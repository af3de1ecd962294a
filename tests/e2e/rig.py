"""Drives one installation from the outside: starts and kills its worker, accepts commands, and compares books and chain."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
import psycopg
from redis.asyncio import Redis
from sqlalchemy import text
from stellar_sdk import Asset, Keypair, Server, TransactionBuilder
from temporalio.client import Client
from temporalio.service import RPCError

from devstack.choices import CHECKOUT
from offerhub.commands.dispute_facts import AcceptedDispute
from offerhub.commands.escrow_creation import request_escrow
from offerhub.commands.escrow_funding import request_funding
from offerhub.commands.order_facts import Accepted
from offerhub.commands.orders import CreateOrder, MilestoneWish, Terms, create_order
from offerhub.commands.release import request_release
from offerhub.commands.reserve import reserve_order
from offerhub.commands.users import CreateUser, create_user
from offerhub.commands.withdrawals import AcceptedWithdrawal
from offerhub.custody.keys import LocalKeyEncryption
from offerhub.custody.sealing import SealedSeed, SeedOwner, unseal
from offerhub.domain.context import Context
from offerhub.domain.money import format_amount, parse_chain_amount
from offerhub.storage import attempts, operations, orders, users, wallets
from offerhub.storage import ledger as books
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.clock import engine_now
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Database, Transaction
from offerhub.storage.users import UserRecord
from offerhub.stream.nudges import Nudges
from tests.services import SandboxServer

# Only what is really stuck takes so long.
READY_S = 120.0
OPERATION_S = 120.0
POLL_S = 0.05
FEE_BPS = 250
# The engine's clock follows the network's no closer than this.
CLOCKS_AGREE_S = 10
Answer = TypeVar("Answer")
AcceptedCommand = Accepted | AcceptedWithdrawal | AcceptedDispute


def patient_client(headers: dict[str, str] | None = None) -> httpx.AsyncClient:
    """What a test asks by itself is answered in time on any machine; only the product has time limits."""
    return httpx.AsyncClient(headers=headers, timeout=60, trust_env=False)


def acting() -> Context:
    return Context("master", f"req_{uuid.uuid4().hex[:12]}")


class WorkerProcess(Protocol):
    """As much of a ``subprocess.Popen`` as is asked of a worker."""

    @property
    def returncode(self) -> int | None: ...

    def poll(self) -> int | None: ...

    def send_signal(self, sig: int, /) -> None: ...

    def wait(self, timeout: float | None = None) -> int: ...


@dataclass
class Rig:
    postgres_url: str
    redis_url: str
    temporal_address: str
    sandbox: SandboxServer
    folder: Path
    namespace: str = field(default_factory=lambda: f"e2e-{uuid.uuid4().hex[:8]}")
    settings: dict[str, str] = field(default_factory=dict)
    worker: WorkerProcess | None = None

    def __post_init__(self) -> None:
        self._redis = Redis.from_url(self.redis_url)
        self._nudges = Nudges(self._redis)
        self.database = Database(self.postgres_url, self._nudges.publish)
        self._custody_key = base64.b64encode(os.urandom(32)).decode()
        self.webhook_key = base64.b64encode(os.urandom(32)).decode()
        self.log = self.folder / "worker.log"

    async def start_worker(self, *, wait_for_wallets: int = 2) -> None:
        written = len(self.log.read_text()) if self.log.exists() else 0
        self.worker = self.spawn_worker()
        await self.until(lambda: self._is_ready(written), READY_S)
        if wait_for_wallets:
            await self.until(lambda: self._has_stock(wait_for_wallets), READY_S)

    def spawn_worker(self) -> WorkerProcess:
        with self.log.open("ab") as output:
            return subprocess.Popen([sys.executable, "worker.py"], cwd=CHECKOUT, env=self.environment(), stdout=output, stderr=output)

    def environment(self) -> dict[str, str]:
        """The worker's."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith(("TEMPORAL_", "WORKER_"))},
            **self.sandbox.environment,
            "DATABASE_URL": self.postgres_url,
            "REDIS_URL": self.redis_url,
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": self.namespace,
            "WALLET_ENCRYPTION_KEY": self._custody_key,
            "WEBHOOK_ENCRYPTION_KEY": self.webhook_key,
            "PLATFORM_FEE_BPS": "250",
            "PLATFORM_SIGNERS": "2",
            "WALLET_STOCK": "4",
            "TRUSTLESS_WORK_REQUESTS_PER_MINUTE": "0",
            **self.settings,
        }

    def kill_worker(self) -> None:
        assert self.worker is not None
        self.worker.send_signal(signal.SIGKILL)
        self.worker.wait(60)

    async def stop_worker(self) -> int:
        assert self.worker is not None
        self.worker.send_signal(signal.SIGTERM)
        return await asyncio.to_thread(self.worker.wait, 90)

    async def close(self) -> None:
        if self.worker is not None and self.worker.poll() is None:
            self.kill_worker()
        await self.database.close()
        await self._redis.aclose()

    async def temporal(self) -> Client:
        return await Client.connect(self.temporal_address, namespace=self.namespace)

    async def until(self, condition: Callable[[], Awaitable[Any]], timeout_s: float = OPERATION_S) -> Any:
        limit = time.monotonic() + timeout_s
        while time.monotonic() < limit:
            found = await condition()
            if found:
                return found
            if self.worker is not None and self.worker.poll() not in (None, -signal.SIGKILL):
                break
            await asyncio.sleep(POLL_S)
        raise AssertionError(f"{condition} did not come true:\n{self.log.read_text()[-12000:]}")

    async def user(self) -> UserRecord:
        """A user with a ready wallet."""
        async with self.database.transaction(acting()) as transaction:
            created = await create_user(transaction, CreateUser(uuid.uuid4().hex))

        async def ready() -> UserRecord | None:
            async with self.database.reading() as reader:
                found = await users.get(reader, created.id)
            return found if found is not None and found.public_key else None

        found: UserRecord = await self.until(ready)
        return found

    async def deposit(self, user: UserRecord, amount_stroops: int) -> None:
        """Pay sandbox USDC to the user's wallet and wait until it is credited."""
        before = await self.balance(f"user:{user.id}:available")
        await self.control("faucet", {"address": user.public_key, "amount": format_amount(amount_stroops)})

        async def credited() -> bool:
            return await self.balance(f"user:{user.id}:available") == before + amount_stroops

        await self.until(credited)

    async def commit(self, command: Callable[[Transaction], Awaitable[Answer]]) -> Answer:
        """As the API does: one command, one transaction."""
        async with self.database.transaction(acting()) as transaction:
            return await command(transaction)

    async def order(self, buyer: UserRecord, seller: UserRecord, amount_stroops: int, milestones: int = 1) -> OrderRecord:
        """An order with the buyer's money reserved."""
        wishes = tuple(MilestoneWish(f"m{number}", f"Milestone {number}") for number in range(1, milestones + 1))
        return await self.reserved(CreateOrder(buyer.id, seller.id, amount_stroops, "USDC", "Logo design", milestones=wishes))

    async def reserved(self, request: CreateOrder, terms: Terms = Terms(platform_fee_bps=FEE_BPS)) -> OrderRecord:  # noqa: B008 - frozen
        order = await self.commit(lambda transaction: create_order(transaction, request, terms))
        return await self.commit(lambda transaction: reserve_order(transaction, order.id))

    async def accept_escrow(self, order_id: str) -> Accepted:
        async with self.database.transaction(acting()) as transaction:
            return await request_escrow(transaction, order_id)

    async def accept_funding(self, order_id: str) -> Accepted:
        async with self.database.transaction(acting()) as transaction:
            return await request_funding(transaction, order_id)

    async def accept_release(self, order_id: str) -> Accepted:
        async with self.database.transaction(acting()) as transaction:
            return await request_release(transaction, order_id, None, None)

    async def finished(self, accepted: AcceptedCommand, timeout_s: float = OPERATION_S) -> OperationRecord:
        async def done() -> OperationRecord | None:
            operation = await self.operation(accepted.operation.id)
            return operation if operation.status in ("SUCCEEDED", "FAILED") else None

        found: OperationRecord = await self.until(done, timeout_s)
        return found

    async def succeeded(self, accepted: AcceptedCommand, timeout_s: float = OPERATION_S) -> OperationRecord:
        operation = await self.finished(accepted, timeout_s)
        assert operation.status == "SUCCEEDED", operation.error
        return operation

    async def funded(self, order_id: str) -> None:
        await self.succeeded(await self.accept_escrow(order_id))
        await self.succeeded(await self.accept_funding(order_id))

    async def operation(self, operation_id: str) -> OperationRecord:
        async with self.database.reading() as reader:
            found = await operations.get(reader, operation_id)
        assert found is not None
        return found

    async def closed(self, order_id: str, final_status: str) -> OrderRecord:
        """The order, once it is closed and nothing runs for it any more."""

        async def done() -> OrderRecord | None:
            order = await self.read_order(order_id)
            return order if order.state == "CLOSED" and order.operation is None else None

        found: OrderRecord = await self.until(done)
        assert found.final_status == final_status
        return found

    async def control(self, path: str, body: dict[str, Any]) -> None:
        """Ask something of the sandbox itself."""
        async with patient_client() as client:
            (await client.post(f"{self.sandbox.url}/control/{path}", json=body)).raise_for_status()

    async def advance_clock(self, seconds: int) -> None:
        """The sandbox's, for good; returns when the engine's clock has followed."""
        until = await self.commit(engine_now) + timedelta(seconds=seconds)
        await self.control("clock/advance", {"seconds": seconds})

        async def followed() -> bool:
            return await self.commit(engine_now) >= until - timedelta(seconds=CLOCKS_AGREE_S)

        await self.until(followed)

    async def read_order(self, order_id: str) -> OrderRecord:
        async with self.database.reading() as reader:
            found = await orders.get(reader, order_id)
        assert found is not None
        return found

    async def platform_key(self) -> str:
        async with self.database.reading() as reader:
            return str(await wallets.platform_key(reader, "PLATFORM"))

    async def balance(self, account: str) -> int:
        async with self.database.transaction(acting()) as transaction:
            return (await books.lock_balances(transaction, (account,)))[account]

    async def on_chain(self, address: str) -> int:
        """USDC of an account, in stroops, as the network has it."""
        async with patient_client() as client:
            answer = (await client.get(f"{self.sandbox.url}/accounts/{address}")).raise_for_status().json()
        return next((parse_chain_amount(one["balance"]) for one in answer["balances"] if one.get("asset_code") == "USDC"), 0)

    async def in_contract(self, contract_id: str | None) -> int:
        """USDC an escrow contract holds, as Trustless Work's reading of the chain has it."""
        async with patient_client(headers={"x-api-key": self.sandbox.environment["TRUSTLESS_WORK_API_KEY"]}) as client:
            parameters = {"addresses[]": str(contract_id)}
            url = f"{self.sandbox.environment['TRUSTLESS_WORK_URL']}/helper/get-multiple-escrow-balance"
            answer = (await client.get(url, params=parameters)).raise_for_status()
        return int(json.loads(answer.content, parse_float=Decimal, parse_int=Decimal)[0]["balance"] * 10**7)

    async def withdraw_behind_our_back(self, user: UserRecord) -> None:
        """Send the user's USDC away without the product, as only a stolen or recovered seed could."""
        keypair = next(one for one in self._keypairs() if one.public_key == user.public_key)
        horizon = Server(self.sandbox.url)
        source = await asyncio.to_thread(horizon.load_account, keypair.public_key)
        usdc = Asset("USDC", self.sandbox.environment["USDC_ISSUER"])
        held = format_amount(await self.on_chain(keypair.public_key))
        payment = TransactionBuilder(source, self.sandbox.environment["NETWORK_PASSPHRASE"], base_fee=0)
        inner = payment.append_payment_op(usdc.issuer or "", usdc, held).add_time_bounds(0, 0).build()
        inner.sign(keypair)
        payer = Keypair.random()
        async with patient_client() as client:
            (await client.get(self.sandbox.environment["FRIENDBOT_URL"], params={"addr": payer.public_key})).raise_for_status()
        outer = TransactionBuilder.build_fee_bump_transaction(payer, 200, inner, self.sandbox.environment["NETWORK_PASSPHRASE"])
        outer.sign(payer)
        await asyncio.to_thread(horizon.submit_transaction, outer)

    async def assert_wallets_hold(self, *parties: UserRecord) -> None:
        """What the books say they hold."""
        for user in parties:
            async with self.database.reading() as reader:
                booked = await books.user_balance(reader, user.id)
            assert booked.in_wallet == await self.on_chain(str(user.public_key))

    async def assert_books_equal_chain(self, *parties: UserRecord) -> None:
        await self.assert_wallets_hold(*parties)
        assert await self.balance("platform:revenue") == await self.on_chain(await self.platform_key())

    async def attempts_of(self, operation_id: str) -> list[AttemptRecord]:
        async with self.database.reading() as reader:
            return await attempts.of_operation(reader, operation_id)

    async def events_of(self, event_type: str, aggregate_id: str) -> list[dict[str, Any]]:
        query = text("SELECT payload FROM events WHERE type = :type AND aggregate_id = :id ORDER BY inserted")
        async with self.database.reading() as reader:
            return [row["payload"] for row in await reader.rows(query, type=event_type, id=aggregate_id)]

    async def activity_summaries(self, workflow_id: str) -> list[str]:
        client = await self.temporal()
        history = await client.get_workflow_handle(workflow_id).fetch_history()
        summaries = [event.user_metadata.summary.data for event in history.events if event.HasField("user_metadata")]
        return [json.loads(data) for data in summaries if data]

    async def has_started(self, workflow_id: str) -> bool:
        try:
            await (await self.temporal()).get_workflow_handle(workflow_id).describe()
        except RPCError:
            return False
        return True

    async def has_scheduled(self, workflow_id: str, activity: str) -> bool:
        try:
            history = await (await self.temporal()).get_workflow_handle(workflow_id).fetch_history()
        except RPCError:
            # Not started yet.
            return False
        return any(event.activity_task_scheduled_event_attributes.activity_type.name == activity for event in history.events)

    def secrets(self) -> list[str]:
        """The key-encryption key and every seed custody made, in the spellings they could leak in."""
        found = [self._custody_key, self.webhook_key]
        for keypair in self._keypairs():
            seed = keypair.raw_secret_key()
            found += [seed.hex(), base64.b64encode(seed).decode(), keypair.secret]
        return found

    def _keypairs(self) -> list[Keypair]:
        key = LocalKeyEncryption.from_text(self._custody_key)
        columns = "id, public_key, seal_format, seal_key_id, wrapped_key, seal_nonce, sealed_seed"
        with psycopg.connect(self.postgres_url) as connection:
            rows = connection.execute(f"SELECT {columns} FROM wallets").fetchall()  # noqa: S608
        passphrase = self.sandbox.environment["NETWORK_PASSPHRASE"]
        return [
            Keypair.from_raw_ed25519_seed(unseal(SealedSeed(*sealed), SeedOwner(wallet_id, public_key, passphrase), key))
            for wallet_id, public_key, *sealed in rows
        ]

    async def _is_ready(self, after: int) -> bool:
        return '"worker.ready"' in self.log.read_text()[after:]

    async def has_logged(self, event: str) -> bool:
        return event in self.log.read_text()

    async def _has_stock(self, count: int) -> bool:
        async with self.database.reading() as reader:
            return (await wallets.stock(reader)).ready >= count
