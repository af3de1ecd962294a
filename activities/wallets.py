"""The platform's own accounts and the wallet stock on the chain: fund, prepare, read back, book, watch."""

from __future__ import annotations

import asyncio
import time

from temporalio import activity

from activities.envelope_check import EnvelopeCheck
from activities.escrow import operation_context
from activities.failures import WaitingError
from activities.intents import activation_intent_id, own_step
from activities.outcomes import signed_attempt
from activities.turns import await_turn
from offerhub.commands import wallets as commands
from offerhub.domain.context import Context
from offerhub.domain.messages import PlannedStep, Prepared, WalletBatch
from offerhub.domain.states import AttemptState
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork
from offerhub.storage import wallets
from offerhub.storage.unit_of_work import Database

WINDOW_S = 120
WATCH_POLL_S = 0.5
WATCH_S = 24 * 3600
_SYSTEM = Context("system", "wallet-stock", workflow_id="wallet-stock")


class WalletActivities:
    def __init__(self, database: Database, horizon: Horizon, network: StellarNetwork, check: EnvelopeCheck, target: int) -> None:
        self._database = database
        self._horizon = horizon
        self._network = network
        self._check = check
        self._target = target

    @activity.defn
    async def fund_account(self, public_key: str) -> bool:
        """True once the account is on the chain. Friendbot is asked where there is one."""
        if await self._horizon.account(public_key) is not None:
            return True
        if self._network.friendbot_url is None:
            return False
        await self._horizon.friendbot(public_key)
        return True

    @activity.defn
    async def prepare_own_step(self, step: PlannedStep) -> Prepared:
        """Place our own transaction in its account's sequence; custody builds it."""
        async with self._database.reading() as reader:
            own = await own_step(reader, step.intent_id)
        source = own.intent.source
        turn = await await_turn(self._database, operation_context(own.operation) if own.operation else _SYSTEM, source, step.intent_id)
        for attempt in turn.attempts:
            if attempt.is_open or attempt.state is AttemptState.CONFIRMED:
                return Prepared(step.intent_id, attempt=signed_attempt(attempt))
        sequence = await self._check.next_sequence(source, turn.last_sequence)
        if turn.attempts:
            # An earlier envelope died: perhaps somebody used the account without us, and the network's number counts.
            sequence = max(sequence, await self._check.next_sequence(source, None))
        return Prepared(step.intent_id, sequence=sequence, max_time=await self._check.clock.now_unix(fresh=True) + WINDOW_S)

    @activity.defn
    async def confirm_accounts(self, public_keys: list[str]) -> None:
        """What was created is read back: a wallet is handed out only when the network shows it as usable."""
        accounts = await asyncio.gather(*(self._horizon.account(public_key) for public_key in public_keys))
        for public_key, account in zip(public_keys, accounts, strict=True):
            if account is None or account.usdc_stroops is None or not account.usdc_authorized:
                raise WaitingError(f"Horizon does not show {public_key} with an authorized USDC trustline yet.")

    @activity.defn
    async def book_platform_account(self, public_key: str) -> None:
        async with self._database.transaction(_SYSTEM) as transaction:
            await commands.book_platform_account(transaction, public_key)

    @activity.defn
    async def begin_activation(self) -> WalletBatch:
        """The batch to create now, an interrupted one first."""
        async with self._database.transaction(_SYSTEM) as transaction:
            batch = await commands.begin_activation(transaction)
            stock = await wallets.stock(transaction)
        if not batch:
            return WalletBatch(stock.ready, stock.waiting_users)
        keys = [wallet.public_key for wallet in batch]
        summary = f"activate {len(keys)} wallets · {stock.ready} ready, {stock.waiting_users} user(s) waiting"
        step = PlannedStep(activation_intent_id(keys[0]), "activate_wallets", summary, "horizon")
        return WalletBatch(stock.ready, stock.waiting_users, keys, step)

    @activity.defn
    async def book_activation(self, public_keys: list[str]) -> WalletBatch:
        async with self._database.transaction(_SYSTEM) as transaction:
            stock = await commands.book_activation(transaction, public_keys)
        return WalletBatch(stock.ready, stock.waiting_users)

    @activity.defn
    async def watch_stock(self) -> WalletBatch:
        """Return when wallets are needed: the stock is below its target or a user waits for one."""
        until = time.monotonic() + WATCH_S
        while True:
            async with self._database.reading() as reader:
                stock = await wallets.stock(reader)
            is_over = activity.is_worker_shutdown() or time.monotonic() > until
            if stock.waiting_users or stock.ready < self._target or is_over:
                return WalletBatch(stock.ready, stock.waiting_users)
            await asyncio.sleep(WATCH_POLL_S)
