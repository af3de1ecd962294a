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
    from pathlib import Path

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
    state BLOB NOT NULL,
    balance_stroops INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS escrows_by_signer ON escrows (signer);
CREATE TABLE IF NOT EXISTS escrow_roles (
    address TEXT NOT NULL,
    role TEXT NOT NULL,
    contract_id TEXT NOT NULL,
    PRIMARY KEY (address, role, contract_id)
) WITHOUT ROWID;
"""

_COLUMNS = "contract_id, signer, asset_code, asset_issuer, state, balance_stroops, created_at, updated_at"


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
    state: bytes
    balance_stroops: int
    created_at: int
    updated_at: int


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

    def add_escrow(self, escrow: IndexedEscrow, roles: dict[str, str]) -> None:
        """``roles`` maps the API's role names to addresses."""
        with self._database:
            self._database.execute("BEGIN")
            self._database.execute(
                f"INSERT OR IGNORE INTO escrows ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 fixed column list
                (
                    escrow.contract_id, escrow.signer, escrow.asset_code, escrow.asset_issuer,
                    escrow.state, escrow.balance_stroops, escrow.created_at, escrow.updated_at,
                ),
            )  # fmt: skip
            self._database.executemany(
                "INSERT OR IGNORE INTO escrow_roles VALUES (?, ?, ?)",
                [(address, role, escrow.contract_id) for role, address in roles.items()],
            )

    def update_escrow(self, contract_id: str, state: bytes, balance_stroops: int, now: int) -> None:
        self._database.execute(
            "UPDATE escrows SET state = ?, balance_stroops = ?, updated_at = ? WHERE contract_id = ?",
            (state, balance_stroops, now, contract_id),
        )

    def escrow(self, contract_id: str) -> IndexedEscrow | None:
        found = self._escrows("contract_id = ?", (contract_id,))
        return found[0] if found else None

    def by_signer(self, signer: str) -> list[IndexedEscrow]:
        return self._escrows("signer = ?", (signer,))

    def by_role(self, role: str, address: str) -> list[IndexedEscrow]:
        chosen = "SELECT contract_id FROM escrow_roles WHERE address = ? AND role = ?"
        return self._escrows(f"contract_id IN ({chosen})", (address, role))

    def _escrows(self, condition: str, parameters: tuple[str, ...]) -> list[IndexedEscrow]:
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM escrows WHERE {condition} ORDER BY created_at, contract_id",  # noqa: S608 conditions are ours
            parameters,
        )
        return [IndexedEscrow(*row) for row in rows]
