"""Accounts and trustlines as the ledger holds them, with the arithmetic of reserves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

BASE_RESERVE_STROOPS = 5_000_000
BASE_FEE_STROOPS = 100
MAX_INT64 = 2**63 - 1
NATIVE = "native"


@dataclass(slots=True)
class Trustline:
    """A trustline; ``flags`` bit 0 is authorized."""

    balance: int
    limit: int
    last_modified_ledger: int
    flags: int = 1
    sponsor: str | None = None

    @property
    def authorized(self) -> bool:
        return bool(self.flags & 1)


@dataclass(slots=True)
class Signer:
    weight: int
    sponsor: str | None = None


@dataclass(slots=True)
class DataEntry:
    """A data entry; ``value`` is base64."""

    value: str
    sponsor: str | None = None


@dataclass(slots=True)
class Account:
    """An account with its sub-entries; trustlines are keyed ``CODE:ISSUER``."""

    address: str
    balance: int
    sequence: int
    sequence_ledger: int
    sequence_time: int
    last_modified_ledger: int
    last_modified_time: int
    sponsor: str | None = None
    num_sponsoring: int = 0
    num_sponsored: int = 0
    flags: int = 0
    home_domain: str = ""
    master_weight: int = 1
    thresholds: tuple[int, int, int] = (0, 0, 0)
    signers: dict[str, Signer] = field(default_factory=dict)
    data: dict[str, DataEntry] = field(default_factory=dict)
    trustlines: dict[str, Trustline] = field(default_factory=dict)

    @property
    def subentry_count(self) -> int:
        return len(self.signers) + len(self.data) + len(self.trustlines)

    @property
    def minimum_balance(self) -> int:
        return (2 + self.subentry_count + self.num_sponsoring - self.num_sponsored) * BASE_RESERVE_STROOPS

    @property
    def spendable(self) -> int:
        """Native balance above the reserve; may be negative after a fee."""
        return self.balance - self.minimum_balance

    def clone(self) -> Account:
        return replace(
            self,
            signers={key: replace(signer) for key, signer in self.signers.items()},
            data={name: replace(entry) for name, entry in self.data.items()},
            trustlines={asset: replace(line) for asset, line in self.trustlines.items()},
        )

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Account:
        """From the JSON that serialising the dataclass gives."""
        document["thresholds"] = tuple(document["thresholds"])
        document["signers"] = {key: Signer(**value) for key, value in document["signers"].items()}
        document["data"] = {key: DataEntry(**value) for key, value in document["data"].items()}
        document["trustlines"] = {key: Trustline(**value) for key, value in document["trustlines"].items()}
        return cls(**document)
