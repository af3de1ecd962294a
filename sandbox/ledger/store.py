"""The SQLite file of a sandbox: current entries and history, written once per ledger close, in one transaction.

Write-ahead logging without fsync survives a killed process (not a power cut), which is what the sandbox promises.
"""

from __future__ import annotations

import base64
import fcntl
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import orjson
from stellar_sdk import xdr

from sandbox.contracts.interface import ContractInstance
from sandbox.ledger.entries import Account
from sandbox.ledger.records import TransactionRecord
from sandbox.ledger.state import State

_SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS accounts (address TEXT PRIMARY KEY, document BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS contract_balances (
    contract TEXT NOT NULL, holder TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (contract, holder)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS instances (contract_id TEXT PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS modified (entry TEXT PRIMARY KEY, ledger INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledgers (id INTEGER PRIMARY KEY, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY, hash TEXT NOT NULL UNIQUE, inner_hash TEXT, successful INTEGER NOT NULL,
    document BLOB NOT NULL, outcome BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS transactions_by_inner_hash ON transactions (inner_hash) WHERE inner_hash IS NOT NULL;
CREATE TABLE IF NOT EXISTS operations (
    id INTEGER PRIMARY KEY, is_payment INTEGER NOT NULL, successful INTEGER NOT NULL, document BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS payments ON operations (id) WHERE is_payment = 1;
CREATE TABLE IF NOT EXISTS participants (
    address TEXT NOT NULL, kind TEXT NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (address, kind, id)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class StoredTransaction:
    """A transaction found by hash; ``outcome`` holds result_codes, diagnostic_events and contract_failure."""

    id: int
    hash: str
    inner_hash: str | None
    successful: bool
    document: dict[str, Any]
    outcome: dict[str, Any]


class HomeInUse(Exception):
    """Another process keeps its ledger in this directory."""


def _lock(path: Path) -> IO[bytes]:
    """Held until closed, or until the process ends however it ends."""
    lock = path.open("wb")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise HomeInUse(f"{path.parent} is in use by another sandbox") from error
    return lock


class Store:
    """``connection`` is for reading; only this class writes."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True, exist_ok=True)
        self._lock = _lock(home / "ledger.lock")
        self.connection = sqlite3.connect(home / "ledger.sqlite3", isolation_level=None)
        self.connection.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-32000;")
        self.connection.executescript(_SCHEMA)

    def close(self) -> None:
        self.connection.close()
        self._lock.close()

    def meta(self, key: str) -> str | None:
        row = self.connection.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, key: str, value: str) -> None:
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    def load_into(self, state: State) -> None:
        accounts = self.connection.execute("SELECT document FROM accounts")
        balances = self.connection.execute("SELECT contract, holder, amount FROM contract_balances")
        state.load(
            (Account.from_document(orjson.loads(document)) for (document,) in accounts),
            {(contract, holder): amount for contract, holder, amount in balances},
        )
        state.fee_pool = int(self.meta("fee_pool") or 0)

    def load_instance(self, contract_id: str) -> ContractInstance | None:
        row = self.connection.execute("SELECT document FROM instances WHERE contract_id = ?", (contract_id,)).fetchone()
        if row is None:
            return None
        document = orjson.loads(row[0])
        storage = {key: xdr.SCVal.from_xdr(value) for key, value in document["storage"].items()}
        return ContractInstance(contract_id, bytes.fromhex(document["wasm_hash"]), storage)

    def last_ledger(self) -> dict[str, Any] | None:
        row = self.connection.execute("SELECT document FROM ledgers ORDER BY id DESC LIMIT 1").fetchone()
        return None if row is None else dict(orjson.loads(row[0]))

    def transaction(self, transaction_hash: str) -> StoredTransaction | None:
        """By outer or inner hash (lower-case hex)."""
        columns = "SELECT id, hash, inner_hash, successful, document, outcome FROM transactions"
        row = self.connection.execute(f"{columns} WHERE hash = ?", (transaction_hash,)).fetchone()
        if row is None:
            row = self.connection.execute(f"{columns} WHERE inner_hash = ?", (transaction_hash,)).fetchone()
        if row is None:
            return None
        identifier, outer, inner, successful, document, outcome = row
        return StoredTransaction(identifier, outer, inner, bool(successful), orjson.loads(document), orjson.loads(outcome))

    def modified_in(self, entry: str) -> int:
        """The ledger that last changed a contract instance or balance; 1 where a ledger from before this was recorded did."""
        row = self.connection.execute("SELECT ledger FROM modified WHERE entry = ?", (entry,)).fetchone()
        return 1 if row is None else int(row[0])

    def commit_ledger(self, ledger: dict[str, Any], transactions: Iterable[TransactionRecord], state: State) -> None:
        """All of one ledger, or none of it."""
        run = self.connection.execute
        run("BEGIN IMMEDIATE")
        try:
            run("INSERT INTO ledgers VALUES (?, ?)", (ledger["sequence"], orjson.dumps(ledger)))
            for record in transactions:
                self._write_transaction(record)
            self._write_entries(state, ledger["sequence"])
            run("COMMIT")
        except BaseException:
            run("ROLLBACK")
            raise

    def _write_transaction(self, record: TransactionRecord) -> None:
        outcome = {
            "result_codes": record.result_codes,
            "diagnostic_events": record.diagnostic_events,
            "contract_failure": record.contract_failure,
        }
        self.connection.execute(
            "INSERT INTO transactions VALUES (?, ?, ?, ?, ?, ?)",
            (
                record.id,
                record.hash,
                record.inner_hash,
                record.successful,
                orjson.dumps(record.document),
                orjson.dumps(outcome),
            ),
        )
        self.connection.executemany(
            "INSERT INTO operations VALUES (?, ?, ?, ?)",
            [(each.id, each.is_payment, record.successful, orjson.dumps(each.document)) for each in record.operations],
        )
        concerned = [(address, "transaction", record.id) for address in record.participants]
        for operation in record.operations:
            concerned += [(address, "operation", operation.id) for address in operation.participants]
            if operation.is_payment:
                concerned += [(address, "payment", operation.id) for address in operation.participants]
        self.connection.executemany("INSERT INTO participants VALUES (?, ?, ?)", concerned)

    def _write_entries(self, state: State, ledger: int) -> None:
        run = self.connection.execute
        for address in state.changed_accounts:
            account = state.account(address)
            if account is None:
                run("DELETE FROM accounts WHERE address = ?", (address,))
            else:
                run("INSERT OR REPLACE INTO accounts VALUES (?, ?)", (address, orjson.dumps(account)))
        for key in state.changed_balances:
            contract, holder = key
            run(
                "INSERT OR REPLACE INTO contract_balances VALUES (?, ?, ?)",
                (contract, holder, state.contract_balance(key)),
            )
        for contract_id, instance in state.changed_instances.items():
            run("INSERT OR REPLACE INTO instances VALUES (?, ?)", (contract_id, _instance_document(instance)))
        changed = [f"instance/{contract_id}" for contract_id in state.changed_instances]
        changed += [f"balance/{contract}/{holder}" for contract, holder in state.changed_balances]
        self.connection.executemany("INSERT OR REPLACE INTO modified VALUES (?, ?)", [(entry, ledger) for entry in changed])
        self.set_meta("fee_pool", str(state.fee_pool))


def _instance_document(instance: ContractInstance) -> bytes:
    storage = {key: base64.b64encode(value.to_xdr_bytes()).decode() for key, value in instance.storage.items()}
    return orjson.dumps({"wasm_hash": instance.wasm_hash.hex(), "storage": storage})
