"""Horizon's database: the ledger as far as this Horizon has taken it in, which faults may keep behind the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from starlette.requests import Request

from sandbox.ledger import history
from sandbox.ledger.entries import Account
from sandbox.ledger.history import PageQuery
from sandbox.ledger.ledger import Ledger
from sandbox.ledger.state import Replaced, TokenKey
from sandbox.ledger.store import StoredTransaction

_POLL_S = 0.1


class Ingestion(Protocol):
    """How far Horizon is."""

    def ingested(self) -> int:
        """The newest ledger that Horizon knows of."""
        ...

    def newest(self, request: Request) -> Callable[[], int]:
        """The same as the replica sees it that this request has met, at any moment until its answer is complete."""
        ...


async def caught_up(ledger: Ledger, ingestion: Ingestion, sequence: int) -> None:
    """Return when Horizon has taken in this ledger."""
    while ingestion.ingested() < sequence:
        try:
            async with asyncio.timeout(_POLL_S):
                await ledger.next_close()
        except TimeoutError:
            continue


class Replica:
    """Everything as of ledger ``newest``; entries older than the ledger remembers are shown as of the oldest it does."""

    def __init__(self, ledger: Ledger, newest: int) -> None:
        self._ledger = ledger
        self._state = ledger.state
        self.newest = newest

    @property
    def closed_at(self) -> int:
        record = history.fetch_ledger(self._ledger.store, self.newest)
        assert record is not None
        closed_at: int = record["closed_at_unix"]
        return closed_at

    def account(self, address: str) -> Account | None:
        for replaced in self._later():
            if address in replaced.accounts:
                return replaced.accounts[address]
        return self._state.account(address)

    def accounts(self) -> Iterable[Account]:
        changed = {address for replaced in self._later() for address in replaced.accounts}
        if not changed:
            return self._state.accounts()
        unchanged = [account for account in self._state.accounts() if account.address not in changed]
        return [*unchanged, *(account for address in changed if (account := self.account(address)) is not None)]

    def contract_balances(self) -> dict[TokenKey, int]:
        earlier: dict[TokenKey, int] = {}
        for replaced in self._later():
            earlier = {**replaced.balances, **earlier}
        return {**self._state.contract_balances(), **earlier} if earlier else self._state.contract_balances()

    def is_frozen(self, address: str, asset: str) -> bool:
        return self._state.disturbance.is_frozen(address, asset)

    def find(self, transaction_hash: str) -> StoredTransaction | None:
        """By outer or inner hash."""
        found = self._ledger.find(transaction_hash)
        return None if found is None or found.id >> 32 > self.newest else found

    def page(self, query: PageQuery) -> list[dict[str, Any]]:
        return history.fetch_page(self._ledger.store, query.until(self.newest))

    def operation(self, operation_id: int) -> dict[str, Any] | None:
        return None if operation_id >> 32 > self.newest else history.fetch_operation(self._ledger.store, operation_id)

    def ledger(self, sequence: int) -> dict[str, Any] | None:
        return None if sequence > self.newest else history.fetch_ledger(self._ledger.store, sequence)

    def has_history(self, address: str) -> bool:
        return history.account_has_history(self._ledger.store, address, self.newest)

    def _later(self) -> list[Replaced]:
        """What the ledgers after ``newest`` replaced, oldest first."""
        return [replaced for replaced in self._state.past if replaced.ledger > self.newest]
