"""Pages of history: transactions, operations, payments and ledgers, by cursor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

import orjson

from sandbox.ledger.store import Store

_TRANSACTION_MASK = 0xFFF


class Collection(Enum):
    LEDGERS = "ledger"
    TRANSACTIONS = "transaction"
    OPERATIONS = "operation"
    PAYMENTS = "payment"


@dataclass(frozen=True)
class Scope:
    """Which part of a collection: at most one of the fields is set."""

    account: str | None = None
    ledger: int | None = None
    transaction_id: int | None = None


@dataclass(frozen=True)
class PageQuery:
    """``cursor`` is exclusive; None starts at the beginning, or at the end when descending."""

    collection: Collection
    scope: Scope = Scope()
    cursor: int | None = None
    descending: bool = False
    limit: int = 10
    include_failed: bool = False
    join_transactions: bool = False
    last_ledger: int | None = None

    def until(self, ledger: int) -> PageQuery:
        """Only what is in ledgers up to this one."""
        return replace(self, last_ledger=ledger)

    def after(self, cursor: int, limit: int) -> PageQuery:
        return replace(self, cursor=cursor, limit=limit)


def fetch_page(store: Store, query: PageQuery) -> list[dict[str, Any]]:
    """Records in the order asked for; operations carry their ``transaction`` when joined."""
    sql, values = _statement(query)
    rows = store.connection.execute(sql, values).fetchall()
    records: list[dict[str, Any]] = [orjson.loads(document) for _, document in rows]
    if query.join_transactions:
        _join(store, rows, records)
    return records


def fetch_operation(store: Store, operation_id: int) -> dict[str, Any] | None:
    row = store.connection.execute("SELECT document FROM operations WHERE id = ?", (operation_id,)).fetchone()
    return None if row is None else dict(orjson.loads(row[0]))


def fetch_ledger(store: Store, sequence: int) -> dict[str, Any] | None:
    row = store.connection.execute("SELECT document FROM ledgers WHERE id = ?", (sequence,)).fetchone()
    return None if row is None else dict(orjson.loads(row[0]))


def account_has_history(store: Store, address: str, last_ledger: int) -> bool:
    known = "SELECT 1 FROM participants WHERE address = ? AND kind = ? AND id <= ? LIMIT 1"
    return store.connection.execute(known, (address, Collection.TRANSACTIONS.value, _end_of(last_ledger))).fetchone() is not None


def _end_of(ledger: int) -> int:
    return (ledger + 1 << 32) - 1


def _join(store: Store, rows: list[tuple[int, bytes]], records: list[dict[str, Any]]) -> None:
    transactions: dict[int, dict[str, Any]] = {}
    for (operation_id, _), record in zip(rows, records, strict=True):
        transaction_id = operation_id & ~_TRANSACTION_MASK
        if transaction_id not in transactions:
            row = store.connection.execute("SELECT document FROM transactions WHERE id = ?", (transaction_id,)).fetchone()
            transactions[transaction_id] = orjson.loads(row[0])
        record["transaction"] = transactions[transaction_id]


def _statement(query: PageQuery) -> tuple[str, list[Any]]:
    table = {
        Collection.LEDGERS: "ledgers",
        Collection.TRANSACTIONS: "transactions",
    }.get(query.collection, "operations")
    conditions: list[str] = []
    values: list[Any] = []
    key = f"{table}.id"
    source = table
    scope = query.scope
    if scope.account is not None:
        source = f"participants CROSS JOIN {table} ON {table}.id = participants.id"
        key = "participants.id"
        conditions += ["participants.address = ?", "participants.kind = ?"]
        values += [scope.account, query.collection.value]
    low, high = _bounds(scope)
    if low is not None:
        conditions.append(f"{key} BETWEEN ? AND ?")
        values += [low, high]
    if query.collection is Collection.PAYMENTS:
        conditions.append("is_payment = 1")
    if query.collection is not Collection.LEDGERS and not query.include_failed:
        conditions.append("successful = 1")
    if query.last_ledger is not None:
        conditions.append(f"{key} <= ?")
        values.append(query.last_ledger if query.collection is Collection.LEDGERS else _end_of(query.last_ledger))
    if query.cursor is not None:
        cursor = query.cursor >> 32 if query.collection is Collection.LEDGERS else query.cursor
        conditions.append(f"{key} {'<' if query.descending else '>'} ?")
        values.append(cursor)
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    order = "DESC" if query.descending else "ASC"
    values.append(query.limit)
    sql = f"SELECT {key}, {table}.document FROM {source} {where} ORDER BY {key} {order} LIMIT ?"  # noqa: S608 (constants only)
    return sql, values


def _bounds(scope: Scope) -> tuple[int | None, int | None]:
    if scope.ledger is not None:
        return scope.ledger << 32, (scope.ledger << 32) | 0xFFFF_FFFF
    if scope.transaction_id is not None:
        return scope.transaction_id, scope.transaction_id | _TRANSACTION_MASK
    return None, None
