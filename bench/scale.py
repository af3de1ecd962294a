"""Does it stay as fast when the database is full? The same reads and commands on an almost empty database and on a full one.

Measured: a read or a whole command with its commit, one at a time, as the API runs them but without HTTP; each call on the one database
follows a call on the other, so that whatever else the machine does meanwhile is done to both. Afterwards PostgreSQL says which tables of
the full database it read from end to end.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import psycopg
import uvloop

from bench import scale_data
from bench.latency import Latency
from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.orders import CreateOrder, Terms, create_order
from offerhub.commands.reserve import reserve_order
from offerhub.domain import ledger
from offerhub.domain.context import Context
from offerhub.storage import orders, replay, timeline, users
from offerhub.storage.orders import OrderFilter
from offerhub.storage.unit_of_work import Database, new_id

ALMOST_EMPTY_USERS = 100
WARM_UPS = 20
CALLS = 200
# A smaller table costs nothing to read, and PostgreSQL rightly does.
SMALL_TABLE_ROWS = 1_000
_AMOUNT = 10_000_000
_SCANS = "SELECT relname, seq_scan FROM pg_stat_user_tables WHERE n_live_tup > %s"


@dataclass(frozen=True)
class Sized:
    empty: Latency
    full: Latency


@dataclass(frozen=True)
class Scale:
    """``scanned``: tables of the full database that were read from end to end while it was measured."""

    users: int
    entries: int
    filled_s: float
    database_mib: int
    actions: Mapping[str, Sized]
    scanned: list[str]


def measure(server_url: str, user_count: int) -> Scale:
    """The databases are made on the server and dropped again."""
    sizes = {"bench_empty": ALMOST_EMPTY_USERS, "bench_full": user_count}
    try:
        began = time.perf_counter()
        urls = {name: scale_data.create(server_url, name, size) for name, size in sizes.items()}
        filled_s = time.perf_counter() - began
        before = _scans(urls["bench_full"])
        actions = uvloop.run(_actions(urls["bench_empty"], urls["bench_full"], user_count))
        after = _scans(urls["bench_full"])
        size_mib = _size_mib(urls["bench_full"])
    finally:
        for name in sizes:
            scale_data.drop(server_url, name)
    return Scale(
        users=user_count,
        entries=user_count * scale_data.POSTINGS_PER_USER * scale_data.ENTRIES_PER_POSTING,
        filled_s=round(filled_s),
        database_mib=size_mib,
        actions=actions,
        scanned=[table for table, scans in after.items() if scans > before.get(table, 0)],
    )


class _Filled:
    """One database and what is done with it, each time with another user or order."""

    def __init__(self, url: str, user_count: int) -> None:
        self.database = Database(url)
        self._users = user_count
        self._created: list[str] = []

    async def read_account(self) -> None:
        async with self.database.reading() as reader:
            assert await users.account(reader, self._user())

    async def read_order(self) -> None:
        async with self.database.reading() as reader:
            assert await timeline.with_order(reader, scale_data.order_id(self._number()), 50)

    async def list_orders(self) -> None:
        async with self.database.reading() as reader:
            assert await orders.page(reader, OrderFilter(buyer_id=self._user()), None, 21)

    async def replay_balance(self) -> None:
        async with self.database.reading() as reader:
            assert await replay.replay(reader, self._user(), None)

    async def create_order(self) -> None:
        buyer, seller = random.sample(range(1, self._users + 1), 2)
        wish = CreateOrder(scale_data.user_id(buyer), scale_data.user_id(seller), _AMOUNT, "USDC", "Scale")
        async with self.database.transaction(_context()) as transaction:
            self._created.append((await create_order(transaction, wish, Terms())).id)

    async def reserve_order(self) -> None:
        async with self.database.transaction(_context()) as transaction:
            await reserve_order(transaction, self._created.pop())

    async def book_deposit(self) -> None:
        user, deposit = self._user(), new_id("dep")
        change = BalanceChange("balance.credited", user, _AMOUNT, "stellar_deposit", deposit_id=deposit)
        async with self.database.transaction(_context()) as transaction:
            await book(transaction, ledger.deposit(deposit, user, _AMOUNT, "0" * 64), change)
            transaction.audit("deposit.credited", ("deposit", deposit), None, {"userId": user})

    def _number(self) -> int:
        return random.randint(1, self._users)

    def _user(self) -> str:
        return scale_data.user_id(self._number())


_ACTIONS: Mapping[str, Callable[[_Filled], Awaitable[None]]] = {
    "read a user with his balance": _Filled.read_account,
    "read an order with its timeline": _Filled.read_order,
    "list a buyer's orders": _Filled.list_orders,
    "sum up a balance from its entries": _Filled.replay_balance,
    "create an order": _Filled.create_order,
    "reserve": _Filled.reserve_order,
    "credit a deposit": _Filled.book_deposit,
}


async def _actions(empty_url: str, full_url: str, user_count: int) -> dict[str, Sized]:
    empty, full = _Filled(empty_url, ALMOST_EMPTY_USERS), _Filled(full_url, user_count)
    try:
        return {name: await _timed(action, empty, full) for name, action in _ACTIONS.items()}
    finally:
        await empty.database.close()
        await full.database.close()


async def _timed(action: Callable[[_Filled], Awaitable[None]], empty: _Filled, full: _Filled) -> Sized:
    samples: tuple[list[float], list[float]] = ([], [])
    turns = [(empty, samples[0]), (full, samples[1])]
    for number in range(WARM_UPS + CALLS):
        turns.reverse()
        for filled, taken in turns:
            began = time.perf_counter()
            await action(filled)
            if number >= WARM_UPS:
                taken.append(time.perf_counter() - began)
    return Sized(*map(Latency.of, samples))


def _context() -> Context:
    return Context("bench", new_id("req"))


def _scans(url: str) -> dict[str, int]:
    with psycopg.connect(url) as connection:
        return dict(connection.execute(_SCANS, (SMALL_TABLE_ROWS,)).fetchall())


def _size_mib(url: str) -> int:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT pg_database_size(current_database()) >> 20").fetchone()
    return int(row[0]) if row else 0
