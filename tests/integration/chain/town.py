"""A marketplace whose wallets are real accounts of the sandbox network, with the deposit reader and the reconciler on top.

No Temporal here: a test runs the reader for as long as it wants, and stops it to let things happen unseen.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import text
from stellar_sdk import (
    Account,
    Asset,
    BeginSponsoringFutureReserves,
    ChangeTrust,
    CreateAccount,
    EndSponsoringFutureReserves,
    Keypair,
    Operation,
    Payment,
    TransactionBuilder,
)
from temporalio.testing import ActivityEnvironment

from activities.deposits import DepositActivities
from offerhub.commands import reconciliation as runs
from offerhub.commands.deposits import payments_stream
from offerhub.commands.users import CreateUser, create_user
from offerhub.domain.reconciliation import Part
from offerhub.reconciliation.run import Reconciler
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork
from offerhub.storage import deposits, reconciliation, wallets
from offerhub.storage.deposits import DepositFilter, DepositRecord
from offerhub.storage.reconciliation import FindingRecord
from offerhub.storage.streams import StreamState
from offerhub.storage.unit_of_work import Database, new_id
from offerhub.storage.users import UserRecord
from tests.integration.commands.market import Market, wallet
from tests.sandbox.contract_calls import transfer
from tests.sandbox.network import Network as SandboxView
from tests.services import SandboxServer

PATIENCE_S = 120.0
LEAST_XLM = 50
Alter = Callable[[httpx.Request, dict[str, Any]], dict[str, Any]]


@dataclass
class Network(httpx.AsyncBaseTransport):
    """The sandbox as the product reaches it; ``alter`` may change what it says, as a broken or hostile server would."""

    alter: Alter | None = None
    inner: httpx.AsyncHTTPTransport = field(default_factory=httpx.AsyncHTTPTransport)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self.inner.handle_async_request(request)
        is_stream = "event-stream" in answer.headers.get("content-type", "")
        if self.alter is None or is_stream or answer.status_code != httpx.codes.OK:
            return answer
        await answer.aread()
        kept = {name: value for name, value in answer.headers.items() if name == "latest-ledger"}
        return httpx.Response(200, json=self.alter(request, answer.json()), headers=kept)

    async def aclose(self) -> None:
        await self.inner.aclose()


@dataclass
class Town:
    market: Market
    sandbox: SandboxServer
    network: StellarNetwork
    transport: Network
    http: httpx.AsyncClient
    keys: dict[str, Keypair] = field(default_factory=dict)
    # Whether each page of a run is done twice.
    doubled: bool = False

    @classmethod
    @asynccontextmanager
    async def open(cls, database: Database, sandbox: SandboxServer) -> AsyncIterator[Town]:
        environment = sandbox.environment
        network = StellarNetwork(
            environment["NETWORK_PASSPHRASE"],
            environment["USDC_ISSUER"],
            environment["TRUSTLESS_WORK_FACTORY"],
            environment["TRUSTLESS_WORK_WASM_HASH"],
            environment["TRUSTLESS_WORK_FEE_ADDRESS"],
        )
        transport = Network()
        async with httpx.AsyncClient(transport=transport) as http:
            town = cls(Market(database), sandbox, network, transport, http)
            await town.deposits().open_payments_cursor()
            yield town

    @property
    def horizon(self) -> Horizon:
        return Horizon(self.sandbox.url, self.network, self.http)

    def deposits(self) -> DepositActivities:
        return DepositActivities(self.market.database, self.horizon, self.network)

    def reconciler(self, least_xlm: int = LEAST_XLM) -> Reconciler:
        rpc = ContractRpc(self.sandbox.environment["STELLAR_RPC_URL"], self.network, self.http)
        return Reconciler(self.market.database, self.horizon, self.network, rpc, least_xlm)

    @property
    def usdc(self) -> Asset:
        return Asset("USDC", self.network.usdc_issuer)

    async def account(self, *trusted: Asset) -> Keypair:
        """Funded by the sandbox's friendbot, with trustlines for USDC and ``trusted``."""
        keypair = Keypair.random()
        async with httpx.AsyncClient(timeout=60) as client:
            (await client.get(f"{self.sandbox.url}/friendbot", params={"addr": keypair.public_key})).raise_for_status()
        await self.send(keypair, *(ChangeTrust(asset) for asset in (self.usdc, *trusted)))
        return keypair

    async def wallet(self, kind: str = "USER", *trusted: Asset) -> Keypair:
        """One in stock, with no XLM of its own, or an account of the platform."""
        keypair = await self._sponsored(*trusted) if kind == "USER" else await self.account(*trusted)
        async with self.market.command() as transaction:
            sealed = wallet(kind, keypair.public_key)
            await wallets.insert(transaction, sealed)
            await wallets.move(transaction, [keypair.public_key], "PREPARED", "ACTIVATING")
            await wallets.mark_ready(transaction, [keypair.public_key])
        self.keys[keypair.public_key] = keypair
        return keypair

    async def _sponsored(self, *trusted: Asset) -> Keypair:
        keypair, sponsor = Keypair.random(), await self.account()
        address = keypair.public_key
        begin, end = BeginSponsoringFutureReserves(address), EndSponsoringFutureReserves(source=address)
        lines = (ChangeTrust(asset, source=address) for asset in (self.usdc, *trusted))
        await self.send(sponsor, begin, CreateAccount(address, "0"), *lines, end, signers=(keypair,))
        return keypair

    async def pay_behind_our_back(self, user: UserRecord, *payments: tuple[str, str]) -> dict[str, Any]:
        """(destination, amount): as somebody could who had stolen the wallet's seed, and paid the fee for it."""
        thief, keypair = await self.account(), self.keys[str(user.public_key)]
        operations = (Payment(to, self.usdc, amount, source=keypair.public_key) for to, amount in payments)
        return await self.send(thief, *operations, signers=(keypair,))

    async def contract_transfer(self, sender: Keypair, recipient: str, stroops: int) -> None:
        """A call of the asset contract instead of a payment."""
        await asyncio.to_thread(transfer_by_contract, self.sandbox, sender, recipient, stroops)

    async def user(self, *trusted: Asset) -> UserRecord:
        await self.wallet("USER", *trusted)
        async with self.market.command() as transaction:
            return await create_user(transaction, CreateUser(new_id("ext")))

    async def faucet(self, address: str, amount: str) -> None:
        async with httpx.AsyncClient(timeout=30) as client:
            answer = await client.post(f"{self.sandbox.url}/control/faucet", json={"address": address, "amount": amount})
            answer.raise_for_status()

    async def send(self, source: Keypair, *operations: Operation, signers: tuple[Keypair, ...] = (), memo: str = "") -> dict[str, Any]:
        """One transaction of ``source``; returns Horizon's answer, of a failed one too."""
        async with httpx.AsyncClient(timeout=40) as client:
            found = (await client.get(f"{self.sandbox.url}/accounts/{source.public_key}")).raise_for_status().json()
            builder = TransactionBuilder(Account(source.public_key, int(found["sequence"])), self.network.passphrase, 100)
            for operation in operations:
                builder.append_operation(operation)
            if memo:
                builder.add_text_memo(memo)
            envelope = builder.add_time_bounds(0, 0).build()
            for signer in (source, *signers):
                envelope.sign(signer)
            answer = await client.post(f"{self.sandbox.url}/transactions", data={"tx": envelope.to_xdr()})
        document: dict[str, Any] = answer.json()
        return document

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[None]:
        """The deposit reader as the worker runs it, for the length of the block."""
        following = asyncio.create_task(ActivityEnvironment().run(self.deposits().follow_payments))
        try:
            yield
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following

    @asynccontextmanager
    async def fault(self, kind: str, **fields: Any) -> AsyncIterator[None]:
        """The sandbox misbehaves for the length of the block."""
        async with httpx.AsyncClient(base_url=self.sandbox.url, timeout=60) as client:
            added = (await client.post("/control/faults", json={"kind": kind, **fields})).raise_for_status().json()
            try:
                yield
            finally:
                (await client.delete(f"/control/faults/{added['id']}")).raise_for_status()

    async def until(self, condition: Callable[[], Awaitable[Any]]) -> Any:
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            found = await condition()
            if found:
                return found
            await asyncio.sleep(0.02)
        raise AssertionError("it did not come true")

    async def read_all(self) -> None:
        """Let the reader come to the end of the chain as it is now."""
        last = (await self.payments(1))[0]["paging_token"]
        async with self.reading():
            await self.until(lambda: self._is_past(int(last)))

    async def _is_past(self, token: int) -> bool:
        return int((await self.stream()).cursor) >= token

    async def payments(self, limit: int) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(timeout=60) as client:
            answer = await client.get(f"{self.sandbox.url}/payments", params={"order": "desc", "limit": str(limit)})
        records: list[dict[str, Any]] = answer.json()["_embedded"]["records"]
        return records

    async def stream(self) -> StreamState:
        async with self.market.database.reading() as reader:
            found = await payments_stream(reader)
        assert found is not None
        return found

    async def recorded(self, user: UserRecord | None = None, status: str | None = None) -> list[DepositRecord]:
        """Oldest first."""
        async with self.market.database.reading() as reader:
            found = await deposits.page(reader, DepositFilter(user.id if user else None, status), None, 2_000)
        return found[::-1]

    async def events(self, kind: str) -> list[dict[str, Any]]:
        query = text("SELECT payload FROM events WHERE type = :type ORDER BY inserted")
        async with self.market.database.reading() as reader:
            return [row["payload"] for row in await reader.rows(query, type=kind)]

    async def reconcile(self, least_xlm: int = LEAST_XLM) -> tuple[dict[str, Any], list[FindingRecord]]:
        """A whole run as the workflow does it; returns figures and findings."""
        reconciler, run_id = self.reconciler(least_xlm), new_id("rec")
        async with self.market.command() as transaction:
            await runs.begin_run(transaction, run_id)
        for part in Part:
            after = ""
            while True:
                if self.doubled:
                    await self._look(reconciler, run_id, (part, after))
                after = await self._look(reconciler, run_id, (part, after))
                if not after:
                    break
        async with self.market.command() as transaction:
            run = await runs.finish_run(transaction, run_id)
        async with self.market.database.reading() as reader:
            found = await reconciliation.findings(reader, run_id, 1_000)
        return dict(run.figures), found

    async def _look(self, reconciler: Reconciler, run_id: str, place: tuple[Part, str]) -> str:
        page, next_after = await reconciler.page(run_id, *place)
        async with self.market.command() as transaction:
            await runs.record_page(transaction, run_id, page)
        return next_after


def transfer_by_contract(sandbox: SandboxServer, sender: Keypair, recipient: str, stroops: int) -> None:
    """``recipient`` may be a contract."""
    view = object.__new__(SandboxView)
    view.url = sandbox.url
    view.passphrase = sandbox.environment["NETWORK_PASSPHRASE"]
    view.usdc = Asset("USDC", sandbox.environment["USDC_ISSUER"])
    view.usdc_contract = view.usdc.contract_id(view.passphrase)
    with httpx.Client(base_url=view.url, timeout=40) as view.http:
        paid = transfer(view, sender, recipient, stroops)
        view.http.post("/transactions", data={"tx": paid.to_xdr()}).raise_for_status()
