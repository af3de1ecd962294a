"""What Trustless Work's own database knows: the escrows it has learned of and the transactions it has built.

The index lags behind the chain by design. An escrow enters it when a deploy built here was sent through
send-transaction; its snapshot changes when the index is told of a later transaction. Every write is durable before
the answer that depends on it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

PAGE_SIZE = 50

_SCHEMA = """
CREATE TABLE IF NOT EXISTS builds (
    hash TEXT PRIMARY KEY,
    contract_id TEXT NOT NULL,
    signer TEXT NOT NULL,
    asset_code TEXT,
    asset_issuer TEXT
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS escrows (
    contract_id TEXT PRIMARY KEY,
    signer TEXT NOT NULL,
    asset_code TEXT NOT NULL,
    asset_issuer TEXT NOT NULL,
    engagement_id TEXT NOT NULL,
    title TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    status TEXT NOT NULL,
    balance_stroops INTEGER NOT NULL,
    state BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS escrow_roles (
    address TEXT NOT NULL,
    role TEXT NOT NULL,
    contract_id TEXT NOT NULL,
    PRIMARY KEY (address, role, contract_id)
) WITHOUT ROWID;
"""

_INSERT = """
INSERT OR IGNORE INTO escrows VALUES (
    :contract_id, :signer, :asset_code, :asset_issuer, :engagement_id, :title,
    :created_at, :updated_at, :status, :balance_stroops, :state
)
"""

_SEARCH = """
SELECT escrows.* FROM escrow_roles JOIN escrows USING (contract_id)
WHERE escrow_roles.address = :address AND escrow_roles.role = :role
    AND (:engagement_id IS NULL OR engagement_id = :engagement_id)
    AND (:title IS NULL OR title = :title)
    AND (:status IS NULL OR status = :status)
ORDER BY created_at * :direction, contract_id
LIMIT :limit OFFSET :offset
"""


@dataclass(frozen=True)
class Build:
    """A transaction built here; the asset is set on deploys, whose signer becomes the escrow's."""

    hash: str
    contract_id: str
    signer: str
    asset_code: str | None = None
    asset_issuer: str | None = None


@dataclass(frozen=True)
class IndexedEscrow:
    """``state`` is the XDR of the contract's record as it was when the index last heard of the escrow."""

    contract_id: str
    signer: str
    asset_code: str
    asset_issuer: str
    engagement_id: str
    title: str
    created_at: int
    updated_at: int
    status: str
    balance_stroops: int
    state: bytes


@dataclass(frozen=True)
class Search:
    """One page of the escrows in which an address has a role; filters are exact, None takes everything."""

    role: str
    address: str
    engagement_id: str | None = None
    title: str | None = None
    status: str | None = None
    oldest_first: bool = False
    page: int = 1


class EscrowIndex:
    def __init__(self, home: Path) -> None:
        self._database = sqlite3.connect(home / "trustless.sqlite3", isolation_level=None)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(_SCHEMA)

    def add_build(self, build: Build) -> None:
        self._database.execute(
            "INSERT OR REPLACE INTO builds VALUES (?, ?, ?, ?, ?)",
            (build.hash, build.contract_id, build.signer, build.asset_code, build.asset_issuer),
        )

    def build(self, transaction_hash: str) -> Build | None:
        row = self._database.execute("SELECT * FROM builds WHERE hash = ?", (transaction_hash,)).fetchone()
        return None if row is None else Build(*row)

    def add_escrow(self, escrow: IndexedEscrow, roles: Iterable[tuple[str, str]]) -> None:
        """``roles`` are the API's role names with an address each; an escrow already known stays as it is."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(_INSERT, vars(escrow))
            self._database.executemany(
                "INSERT OR IGNORE INTO escrow_roles VALUES (?, ?, ?)",
                [(address, role, escrow.contract_id) for role, address in roles],
            )

    def update_escrow(self, escrow: IndexedEscrow) -> None:
        self._database.execute(
            "UPDATE escrows SET state = :state, status = :status, balance_stroops = :balance_stroops, updated_at = :updated_at"
            " WHERE contract_id = :contract_id",
            vars(escrow),
        )

    def escrow(self, contract_id: str) -> IndexedEscrow | None:
        row = self._database.execute("SELECT * FROM escrows WHERE contract_id = ?", (contract_id,)).fetchone()
        return None if row is None else IndexedEscrow(*row)

    def search(self, search: Search) -> list[IndexedEscrow]:
        page = {"limit": PAGE_SIZE, "offset": (search.page - 1) * PAGE_SIZE}
        rows = self._database.execute(_SEARCH, vars(search) | page | {"direction": 1 if search.oldest_first else -1})
        return [IndexedEscrow(*row) for row in rows]
