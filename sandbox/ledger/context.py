"""What the application of one operation works with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.envelope import Operation
from sandbox.ledger.reserves import Sponsorships
from sandbox.ledger.results import OperationOutcome, operation_outcome
from sandbox.ledger.state import Overlay
from sandbox.ledger.tokens import TokenBook


@dataclass(frozen=True)
class LedgerMoment:
    """The ledger a transaction is applied in."""

    network_passphrase: str
    sequence: int
    close_time: int


@dataclass
class OperationContext:
    """``view`` is dropped when the operation is refused; ``sponsorships`` spans the transaction; ``facts`` goes to history."""

    moment: LedgerMoment
    view: Overlay
    operation: Operation
    sponsorships: Sponsorships
    soroban_data: xdr.SorobanTransactionData | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return self.operation.source

    @property
    def tokens(self) -> TokenBook:
        return TokenBook(self.view, self.moment.network_passphrase, self.moment.sequence)

    def note_sponsor(self, sponsor: str | None) -> None:
        """Horizon names the sponsor on the operation that created the sponsored entry."""
        if sponsor is not None:
            self.facts["sponsor"] = sponsor

    def success(self, **payload: object) -> OperationOutcome:
        return operation_outcome(self.operation.type, None, **payload)
