"""An installation under attack: its worker is started again whenever it dies, and in the end books, chain and orders must agree."""

from __future__ import annotations

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx
from sqlalchemy import text
from stellar_sdk import Asset, Keypair, Server, TransactionBuilder
from stellar_sdk.exceptions import BaseHorizonError
from temporalio.client import WorkflowExecutionStatus

from offerhub.commands.withdrawals import AcceptedWithdrawal, RequestWithdrawal, request_withdrawal
from offerhub.domain.withdrawals import AddressKind, Destination
from offerhub.storage.users import UserRecord
from tests.chaos import contract_flags
from tests.chaos.cases import FOLDER_VARIABLE, CaseFolder
from tests.chaos.forked import ForkedWorker
from tests.e2e.rig import Rig, WorkerProcess, acting, patient_client

PATIENCE_S = 240.0
ESCROWS_AT_ONCE = 20


@dataclass
class Installation(Rig):
    patience_s: float = PATIENCE_S
    deaths: int = 0
    parties: list[UserRecord] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.cases = CaseFolder(self.folder / "chaos")
        self.settings[FOLDER_VARIABLE] = str(self.cases.folder)

    async def until(self, condition: Callable[[], Awaitable[Any]], timeout_s: float = 0.0) -> Any:
        return await super().until(condition, max(timeout_s, self.patience_s))

    def spawn_worker(self) -> WorkerProcess:
        return ForkedWorker(self.environment(), self.log)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Installation]:
        """With a worker that somebody starts again each time it dies."""
        self.worker = self.spawn_worker()
        keeping = asyncio.create_task(self._keep_alive())
        try:
            yield self
        finally:
            keeping.cancel()
            with suppress(asyncio.CancelledError):
                await keeping
            await self.close()

    async def _keep_alive(self) -> None:
        while True:
            assert self.worker is not None
            if self.worker.poll() is not None:
                if self.worker.returncode != -signal.SIGKILL:
                    return
                self.deaths += 1
                self.worker = self.spawn_worker()
            await asyncio.sleep(0.05)

    async def kill_and_see_it_return(self) -> None:
        written = len(self.log.read_text())
        self.kill_worker()
        await self.until(lambda: self._is_ready(written))

    async def party(self) -> UserRecord:
        user = await self.user()
        self.parties.append(user)
        return user

    async def fault(self, kind: str, **settings: object) -> str:
        async with patient_client() as client:
            answer = await client.post(f"{self.sandbox.url}/control/faults", json={"kind": kind, **settings})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def fired(self, fault_id: str) -> int:
        async with patient_client() as client:
            board = (await client.get(f"{self.sandbox.url}/control/faults")).raise_for_status().json()
        return next(int(fault["fired"]) for fault in [*board["active"], *board["spent"]] if fault["id"] == fault_id)

    async def heal(self, fault_id: str = "") -> None:
        async with patient_client() as client:
            path = f"/control/faults/{fault_id}" if fault_id else "/control/faults"
            (await client.delete(f"{self.sandbox.url}{path}")).raise_for_status()

    async def pass_time(self, seconds: int) -> None:
        """The network's clock jumps, and a ledger closes after that."""
        async with patient_client() as client:
            (await client.post(f"{self.sandbox.url}/control/clock/advance", json={"seconds": seconds})).raise_for_status()
            (await client.post(f"{self.sandbox.url}/control/ledger", json={"close": 1})).raise_for_status()

    async def payee(self) -> str:
        """An account outside that can receive USDC."""
        keypair = Keypair.random()
        async with patient_client() as client:
            (await client.get(self.sandbox.environment["FRIENDBOT_URL"], params={"addr": keypair.public_key})).raise_for_status()
        horizon = Server(self.sandbox.url)
        source = await asyncio.to_thread(horizon.load_account, keypair.public_key)
        builder = TransactionBuilder(source, self.sandbox.environment["NETWORK_PASSPHRASE"], base_fee=10_000)
        trust = builder.append_change_trust_op(Asset("USDC", self.sandbox.environment["USDC_ISSUER"])).add_time_bounds(0, 0).build()
        trust.sign(keypair)
        with suppress(BaseHorizonError):
            # Faults hit this submission like any other; what counts is that the trustline is there.
            await asyncio.to_thread(horizon.submit_transaction, trust)
        await self.until(lambda: self._trusts_usdc(keypair.public_key))
        return keypair.public_key

    async def _trusts_usdc(self, address: str) -> bool:
        async with patient_client() as client:
            answer = await client.get(f"{self.sandbox.url}/control/accounts/{address}")
        return "USDC" in answer.text

    async def accept_withdrawal(self, user: UserRecord, address: str, amount_stroops: int) -> AcceptedWithdrawal:
        wanted = RequestWithdrawal(user.id, amount_stroops)
        there = Destination(address, AddressKind.ACCOUNT, exists=True, is_authorized=True, room_stroops=2**62)
        async with self.database.transaction(acting()) as transaction:
            return await request_withdrawal(transaction, wanted, there, 1)

    async def events(self, event_type: str, operation_id: str) -> list[dict[str, Any]]:
        """Payloads of the events of a type that are about an operation."""
        query = "SELECT payload FROM events WHERE type = :type AND payload ->> 'operationId' = :id ORDER BY inserted"
        return [row["payload"] for row in await self.rows(query, type=event_type, id=operation_id)]

    async def rows(self, query: str, **values: object) -> list[dict[str, Any]]:
        async with self.database.reading() as reader:
            return [dict(row) for row in await reader.rows(text(query), **values)]

    # What must be true in the end

    async def assert_settled(self) -> None:
        """Nothing under way is left, and books, chain and attempts tell one and the same story."""
        await self.until(self.is_quiet)
        await self._assert_one_application_per_intent()
        await self._assert_chain_knows_no_more()
        await self.assert_books_equal_chain(*self.parties)
        await self._assert_books_balance()
        await self.assert_contracts_as_ordered()
        await self._assert_promises_kept()
        assert self.cases.violations() == []

    async def is_quiet(self) -> bool:
        """Nothing is under way."""
        left = await self.rows(
            """SELECT (SELECT count(*) FROM workflow_messages WHERE dispatched_at IS NULL)
                    + (SELECT count(*) FROM operations WHERE status NOT IN ('SUCCEEDED', 'FAILED'))
                    + (SELECT count(*) FROM attempts WHERE state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN'))
                    + (SELECT count(*) FROM source_leases) AS number"""
        )
        return int(left[0]["number"]) == 0 and await self._verbs_running() == 0

    async def _verbs_running(self) -> int:
        """Workflows that should have ended: all but the installation's own and the orders that are still open."""
        closed = {f"order/{row['id']}" for row in await self.rows("SELECT id FROM orders WHERE state = 'CLOSED'")}
        client = await self.temporal()
        described = [one async for one in client.list_workflows() if one.status is WorkflowExecutionStatus.RUNNING]
        singletons = ("WalletStock", "Deposits", "Reconciliation")
        return sum(one.workflow_type not in singletons and (one.workflow_type != "Order" or one.id in closed) for one in described)

    async def _assert_one_application_per_intent(self) -> None:
        # None was under way a moment ago: what is under way now is the next batch of wallets, and its turn to be judged comes when it ends.
        attempts = await self.rows(
            """SELECT intent_id, inner_hash, source, state, ledger FROM attempts
               WHERE state NOT IN ('SIGNED', 'SUBMITTED', 'UNKNOWN')"""
        )
        applied = Counter[str]()
        for attempt in attempts:
            record = await self._transaction(attempt["inner_hash"])
            in_ledger = attempt["state"] in ("CONFIRMED", "REJECTED")
            assert (record is not None) == in_ledger, attempt
            if record is not None:
                assert (bool(record["successful"]), record["ledger"]) == (attempt["state"] == "CONFIRMED", attempt["ledger"]), attempt
                applied[attempt["intent_id"]] += record["successful"]
        finished = "SELECT transaction_hashes FROM operations WHERE status = 'SUCCEEDED'"
        assert all(row["transaction_hashes"] for row in await self.rows(finished))
        assert set(applied.values()) <= {0, 1}, [intent for intent, number in applied.items() if number > 1]

    async def _assert_chain_knows_no_more(self) -> None:
        """Everything our accounts ever sent is an attempt we know of: nothing was signed behind the books' back."""
        ours = await self.rows("SELECT public_key FROM wallets WHERE state = 'READY' AND kind <> 'FEE'")
        # The chain is read first: an attempt is on record before its envelope can be anywhere.
        sent = {sent_hash for wallet in ours for sent_hash in await self._sent_by(wallet["public_key"])}
        known = {row["inner_hash"] for row in await self.rows("SELECT inner_hash FROM attempts")}
        assert sent <= known, sent - known

    async def assert_ledger_adds_up(self) -> None:
        """True at any time, whatever is under way."""
        assert await self.rows("SELECT posting_id FROM ledger_entries GROUP BY posting_id HAVING sum(amount) <> 0") == []
        drifted = """SELECT b.account FROM account_balances b LEFT JOIN ledger_entries e USING (account)
                     GROUP BY b.account, b.balance HAVING b.balance <> coalesce(sum(e.amount), 0)"""
        assert await self.rows(drifted) == []

    async def _assert_books_balance(self) -> None:
        await self.assert_ledger_adds_up()
        assert await self.rows("SELECT account FROM account_balances WHERE account LIKE 'transit:%' AND balance <> 0") == []
        escrows = await self.rows("SELECT id, contract_id FROM escrows WHERE contract_id IS NOT NULL ORDER BY id")
        held = await self._in_contracts([escrow["contract_id"] for escrow in escrows])
        assert held == [await self.balance(f"escrow:{escrow['id']}") for escrow in escrows]

    async def _in_contracts(self, contract_ids: list[str]) -> list[int]:
        found = await self.ask_trustless("get-multiple-escrow-balance", "addresses[]", contract_ids)
        return [int(one["balance"] * 10**7) for one in found]

    async def ask_trustless(self, question: str, name: str, contract_ids: list[str]) -> list[dict[str, Any]]:
        """One answer for each contract. Asked as seldom as possible: where Trustless Work counts requests, these count too."""
        answers: list[dict[str, Any]] = []
        async with patient_client(headers={"x-api-key": self.sandbox.environment["TRUSTLESS_WORK_API_KEY"]}) as client:
            url = f"{self.sandbox.environment['TRUSTLESS_WORK_URL']}/helper/{question}"
            for first in range(0, len(contract_ids), ESCROWS_AT_ONCE):
                asked = {name: contract_ids[first : first + ESCROWS_AT_ONCE], "validateOnChain": "true"}
                answer = await client.get(url, params=asked)
                if answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
                    await asyncio.sleep(int(answer.headers["Retry-After"]))
                    answer = await client.get(url, params=asked)
                answers += json.loads(answer.raise_for_status().content, parse_float=Decimal, parse_int=Decimal)
        return answers

    async def assert_contracts_as_ordered(self, order_id: str | None = None) -> None:
        """Of one order or of all: what is frozen, paid and decided here is so on the contract, and nothing else is."""
        ordered = {row["contract_id"]: contract_flags.flags_of(row) for row in await self.rows(contract_flags.ORDERS, order_id=order_id)}
        found = await self.ask_trustless("get-escrow-by-contract-ids", "contractIds[]", list(ordered))
        assert {one["contractId"]: contract_flags.flags_on_chain(one) for one in found} == ordered

    async def _assert_promises_kept(self) -> None:
        """Nothing is left to decide about what is closed, and a buyer who was promised the fees of a refund has got them once."""
        undecided = """SELECT d.id FROM disputes d JOIN orders o ON o.id = d.order_id
                       WHERE o.state = 'CLOSED' AND d.state NOT IN ('RESOLVED', 'REFUSED')"""
        assert await self.rows(undecided) == []
        compensations = """SELECT o.id, count(p.id) AS times FROM orders o
                           LEFT JOIN operations p ON p.resource_id = o.id AND p.kind = 'compensation' AND p.status = 'SUCCEEDED'
                           WHERE o.make_buyer_whole AND o.final_status = 'REFUNDED' AND o.release_mode = 'single' GROUP BY o.id"""
        assert {row["times"] for row in await self.rows(compensations)} <= {1}

    async def _transaction(self, inner_hash: str) -> dict[str, Any] | None:
        async with patient_client() as client:
            answer = await client.get(f"{self.sandbox.url}/transactions/{inner_hash}")
        return None if answer.status_code == 404 else dict(answer.raise_for_status().json())

    async def _sent_by(self, account: str) -> set[str]:
        """Hashes of the transactions that used up this account's sequence numbers."""
        async with patient_client() as client:
            url = f"{self.sandbox.url}/accounts/{account}/transactions"
            answer = (await client.get(url, params={"limit": 200, "include_failed": "true"})).raise_for_status().json()
        sent = [record for record in answer["_embedded"]["records"] if record["source_account"] == account]
        return {record.get("inner_transaction", record)["hash"] for record in sent}


async def together(work: Iterable[Awaitable[Any]]) -> list[Any]:
    """All at once; the first failure ends the rest."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_run(one)) for one in work]
    return [task.result() for task in tasks]


async def _run(work: Awaitable[Any]) -> Any:
    return await work
