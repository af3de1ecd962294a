"""User wallets: what the books say each holds against what the chain says, and why they differ."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TypeVar

from offerhub.commands.deposits import payments_stream
from offerhub.commands.reconciliation import credit_missed
from offerhub.domain.context import Context
from offerhub.domain.money import USDC, format_amount
from offerhub.domain.payments import IncomingPayment, WalletMovement
from offerhub.domain.reconciliation import Figures, Finding, FindingKind
from offerhub.reconciliation.steady import PATIENCE_S, Compared, Side, compare, look, patiently
from offerhub.stellar.horizon import PAGE_RECORDS, Horizon
from offerhub.stellar.horizon_records import AccountRecord
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.payments import incoming_payments, wallet_movements
from offerhub.storage import deposits, snapshots
from offerhub.storage.deposits import DepositRecord
from offerhub.storage.snapshots import Booked
from offerhub.storage.unit_of_work import Database

Answer = TypeVar("Answer")
PAGE_WALLETS = 100
AT_ONCE = 8
# How far back into a wallet's history an unexplained difference is followed.
HISTORY_PAGES = 25
# A deposit that the stream has not come to is its business, unless it lets it lie for this long.
STREAM_MAY_TAKE = timedelta(minutes=5)
_SHOWN_MOVEMENTS = 3


@dataclass(frozen=True)
class WalletState:
    """One wallet, compared. ``credited`` is what was found missing and put right; ``waiting`` what the stream will still bring."""

    booked: Booked
    account: AccountRecord | None
    agrees: bool
    is_settled: bool
    findings: tuple[Finding, ...] = ()
    credited: tuple[DepositRecord, ...] = ()
    waiting_stroops: int = 0

    @property
    def found_stroops(self) -> int:
        return _usdc(self.account)

    @property
    def difference(self) -> int:
        return self.found_stroops - self.booked.stroops


@dataclass(frozen=True)
class _History:
    """What a wallet's own payments hold that the books do not."""

    missed: tuple[IncomingPayment, ...] = ()
    unbooked: tuple[WalletMovement, ...] = ()
    waiting_stroops: int = 0


class WalletReconciler:
    def __init__(self, database: Database, horizon: Horizon, network: StellarNetwork, patience_s: Sequence[float] = PATIENCE_S) -> None:
        self._database = database
        self._patience_s = patience_s
        self._horizon = horizon
        self._network = network
        self._turns = asyncio.Semaphore(AT_ONCE)

    async def page(self, run_id: str, after: str) -> tuple[str, Figures, list[Finding]]:
        """Compare the next wallets; returns where to go on ("" at the end), figures and findings."""
        async with self._database.reading() as reader:
            first = await snapshots.wallet_page(reader, after, PAGE_WALLETS)
        states = await self._compare(run_id, first)
        findings = [finding for state in states for finding in state.findings]
        findings += await self._claimable([one for one in first if one.user_id])
        in_motion = sum(1 for state in states if not state.agrees and not state.is_settled)
        next_after = first[-1].id if len(first) == PAGE_WALLETS else ""
        return next_after, Figures(len(states), in_motion), findings

    async def user(self, user_id: str) -> WalletState | None:
        """One user's wallet now; None while it has none."""
        async with self._database.reading() as reader:
            booked = await snapshots.wallet_of(reader, user_id)
        return (await self._compare("", [booked]))[0] if booked else None

    async def seen(self, user_id: str) -> WalletState | None:
        """The same, without asking why they differ; nothing is credited."""
        async with self._database.reading() as reader:
            booked = await snapshots.wallet_of(reader, user_id)
        if booked is None:
            return None
        [one] = await compare([booked], Side(self._books, self._accounts, _usdc))
        return WalletState(one.booked, one.seen, one.agrees, one.is_settled)

    async def _compare(self, run_id: str, first: Sequence[Booked]) -> list[WalletState]:
        compared = await compare(first, Side(self._books, self._accounts, _usdc))
        return list(await asyncio.gather(*(self._state(run_id, one) for one in compared)))

    async def _state(self, run_id: str, compared: Compared[AccountRecord | None]) -> WalletState:
        state = WalletState(compared.booked, compared.seen, compared.agrees, compared.is_settled)
        if state.is_settled and not state.agrees:
            state = await self._settle(run_id, state)
        return replace(state, findings=(*state.findings, *_remarks(state)))

    async def _settle(self, run_id: str, state: WalletState) -> WalletState:
        """Look for the reason in the wallet's own history; credit what was missed; what is left is drift.

        Nothing is said of a wallet that changed meanwhile: the history would explain another difference.
        """
        history = await self._history(state)
        if history is None:
            return replace(state, is_settled=False)
        credited: list[DepositRecord] = []
        if history.missed:
            async with self._database.transaction(Context("system", "reconciliation")) as transaction:
                credited = await credit_missed(transaction, run_id, history.missed)
        now = replace(await self._look_again(state), credited=tuple(credited))
        unchanged = (now.booked.stroops, now.found_stroops) == (state.booked.stroops + _sum(credited), state.found_stroops)
        if now.agrees or not now.is_settled or not unchanged:
            return replace(now, is_settled=now.agrees)
        if history.waiting_stroops and now.difference == history.waiting_stroops:
            return replace(now, is_settled=False, waiting_stroops=history.waiting_stroops)
        return replace(now, findings=(_drift(now, history, await self._halted()),))

    async def _look_again(self, state: WalletState) -> WalletState:
        booked = (await self._books([state.booked.id]))[state.booked.id]
        again = (await look([booked], Side(self._books, self._accounts, _usdc)))[booked.id]
        return WalletState(again.booked, again.seen, again.agrees, again.is_settled)

    async def _ask(self, question: Callable[[], Awaitable[Answer]]) -> Answer:
        return await patiently(question, self._patience_s)

    async def _books(self, ids: list[str]) -> Mapping[str, Booked]:
        async with self._database.reading() as reader:
            return await snapshots.wallets(reader, ids)

    async def _accounts(self, wallets: Sequence[Booked]) -> dict[str, AccountRecord | None]:
        async def read(address: str) -> AccountRecord | None:
            async with self._turns:
                return await self._ask(lambda: self._horizon.account(address))

        accounts = await asyncio.gather(*(read(one.address) for one in wallets))
        return {one.id: account for one, account in zip(wallets, accounts, strict=True)}

    async def _history(self, state: WalletState) -> _History | None:
        """Newest first, until the difference is explained or there is no more of it. None where history is behind the account."""
        as_of = (state.account.latest_ledger if state.account else None) or 0
        if (await self._ask(self._horizon.root)).history_ledger < as_of:
            return None
        found = _History()
        cursor = ""
        for _ in range(HISTORY_PAGES):
            records = await self._ask(partial(self._horizon.account_payments, state.booked.address, cursor))
            bodies = [record.body for record in records]
            paid = [one for body in bodies for one in incoming_payments(body, self._network.usdc_issuer)]
            mine = [one for one in paid if one.recipient == state.booked.address and one.asset == USDC]
            moved = [one for body in bodies for one in wallet_movements(body, self._network.usdc_issuer, state.booked.address)]
            found = _joined(found, await self._unknown(state.booked.user_id, mine, moved))
            explained = sum(one.amount_stroops for one in found.unbooked)
            if len(records) < PAGE_RECORDS or explained == state.difference:
                break
            cursor = records[-1].paging_token
        return found

    async def _unknown(self, user_id: str | None, paid: Sequence[IncomingPayment], moved: Sequence[WalletMovement]) -> _History:
        """What of this is in the books neither as a deposit nor by its transaction. The stream's position is read after the chain."""
        async with self._database.reading() as reader:
            stream = await payments_stream(reader)
            recorded = await deposits.recorded(reader, [(one.chain_operation, one.change_index) for one in paid])
            booked = await snapshots.booked_hashes(reader, user_id or "", sorted({one for each in moved for one in each.hashes}))
        operations = {operation for operation, _ in recorded}
        unbooked = tuple(one for one in moved if one.chain_operation not in operations and not booked.intersection(one.hashes))
        still_open = {one.chain_operation for one in unbooked}
        fresh = [one for one in paid if one.chain_operation in still_open]
        late = datetime.now(UTC) - STREAM_MAY_TAKE
        position = int(stream.cursor) if stream else 0
        missed = tuple(one for one in fresh if int(one.chain_operation) <= position or one.closed_at < late)
        waiting = sum(one.amount_stroops for one in fresh) - sum(one.amount_stroops for one in missed)
        return _History(missed, unbooked, waiting)

    async def _claimable(self, wallets: Sequence[Booked]) -> list[Finding]:
        async def read(wallet: Booked) -> list[Finding]:
            async with self._turns:
                offers = await self._ask(lambda: self._horizon.claimable_usdc(wallet.address))
            return [
                Finding(
                    FindingKind.CLAIMABLE_BALANCE,
                    "claimable_balance",
                    offer.id,
                    f"{format_amount(offer.amount_stroops)} USDC wait to be claimed by wallet {wallet.address}.",
                    found_stroops=offer.amount_stroops,
                    user_id=wallet.user_id,
                )
                for offer in offers
            ]

        return [finding for found in await asyncio.gather(*(read(wallet) for wallet in wallets)) for finding in found]

    async def _halted(self) -> str:
        async with self._database.reading() as reader:
            stream = await payments_stream(reader)
        return f" The payments stream is halted: {stream.halted_reason}" if stream and stream.halted_reason else ""


def _usdc(account: AccountRecord | None) -> int:
    return (account.usdc_stroops or 0) if account else 0


def _sum(credited: Sequence[DepositRecord]) -> int:
    return sum(deposit.amount for deposit in credited)


def _joined(one: _History, other: _History) -> _History:
    return _History(one.missed + other.missed, one.unbooked + other.unbooked, one.waiting_stroops + other.waiting_stroops)


def _drift(state: WalletState, history: _History, halted: str) -> Finding:
    difference = state.difference
    credited = {deposit.chain_operation for deposit in state.credited}
    unbooked = [one for one in history.unbooked if one.chain_operation not in credited]
    how = "more" if difference > 0 else "less"
    sentence = f"The chain holds {format_amount(abs(difference))} USDC {how} than the books say. "
    if unbooked:
        lines = [_movement(one) for one in unbooked[:_SHOWN_MOVEMENTS]]
        more = len(unbooked) - len(lines)
        sentence += "Not in the books: " + "; ".join(lines) + (f"; and {more} more." if more else ".")
    else:
        sentence += "No payment of the account's history explains it: clawback, an exchange, a gap in the history, or a wrong posting."
    return Finding(
        FindingKind.WALLET_DRIFT,
        "wallet",
        state.booked.id,
        sentence + halted,
        state.booked.stroops,
        state.found_stroops,
        state.booked.user_id,
    )


def _movement(one: WalletMovement) -> str:
    way = "from" if one.amount_stroops > 0 else "to"
    return f"{format_amount(one.amount_stroops)} USDC {way} {one.counterparty} in transaction {one.hashes[0]}"


def _remarks(state: WalletState) -> list[Finding]:
    wallet, account = state.booked, state.account
    if account is None or account.usdc_stroops is None:
        what = "account" if account is None else "USDC trustline"
        sentence = f"The wallet {wallet.address} has no {what} on the chain."
        return [Finding(FindingKind.WALLET_MISSING, "wallet", wallet.id, sentence, user_id=wallet.user_id)]
    found: list[Finding] = []
    if not account.usdc_authorized:
        sentence = f"The issuer has frozen the USDC of wallet {wallet.address}: nothing can enter or leave it."
        found.append(Finding(FindingKind.WALLET_FROZEN, "wallet", wallet.id, sentence, user_id=wallet.user_id))
    if account.xlm_stroops:
        sentence = f"Somebody sent {format_amount(account.xlm_stroops)} XLM to wallet {wallet.address}. They are in nobody's balance."
        found.append(
            Finding(FindingKind.FOREIGN_XLM, "wallet", wallet.id, sentence, found_stroops=account.xlm_stroops, user_id=wallet.user_id)
        )
    return found
