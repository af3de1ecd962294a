"""A database that notices changes without an audit entry: PostgreSQL's own counters say which tables a transaction has written."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from offerhub.domain.context import Context
from offerhub.storage.unit_of_work import Database, Transaction

# Tables that may change without an entry, and why.
TECHNICAL = {
    "audit_log": "the entries",
    "audit_chain": "the entries",
    "audit_unsealed": "the entries",
    "events": "a log of its own",
    "workflow_messages": "the outbox of what is audited",
    "idempotency_keys": "kept answers",
    "source_leases": "a queue; what is signed in its order is audited",
    "stream_cursors": "a reader's position",
    "reconciliation_pages": "the progress of a run",
    "account_balances": "opened at zero; sums of the ledger's entries",
    "webhook_deliveries": "a log of its own",
    "webhook_cursors": "a reader's position",
    "engine_clock": "follows a sandbox's clock",
}
_WRITTEN = text("SELECT relname, n_tup_ins + n_tup_upd + n_tup_del AS rows FROM pg_stat_xact_user_tables")


class WatchedDatabase(Database):
    """``silent`` collects the tables of each committed transaction that changed something without an entry."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.silent: list[set[str]] = []

    @asynccontextmanager
    async def transaction(self, context: Context) -> AsyncIterator[Transaction]:
        async with super().transaction(context) as transaction:
            # The counters of a connection may still hold what earlier transactions wrote.
            before = await _written(transaction)
            yield transaction
            touched = {name for name, rows in (await _written(transaction)).items() if rows != before.get(name, 0)} - TECHNICAL.keys()
            audited = bool(transaction._audit)
        if touched and not audited:
            self.silent.append(touched)


async def _written(transaction: Transaction) -> dict[str, int]:
    return {row["relname"]: row["rows"] for row in await transaction.rows(_WRITTEN)}
