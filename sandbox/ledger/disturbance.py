"""What may go wrong inside the network on purpose; ``sandbox.faults`` implements it, ``Calm`` is a network without faults.

None of it may break the ledger's own rules: money is conserved, sequence numbers are used once.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from sandbox.ledger.entries import BASE_FEE_STROOPS
from sandbox.ledger.envelope import Envelope
from sandbox.ledger.results import TransactionRefused


@dataclass(frozen=True)
class ForcedFailure:
    """The operation at ``position`` ends with ``code``, whatever it would have done."""

    position: int
    code: IntEnum


class Disturbance(Protocol):
    @property
    def stopped(self) -> bool:
        """Ledgers close by hand only."""
        ...

    def refusal(self, envelope: Envelope) -> TransactionRefused | None:
        """Asked for each submission that is not queued already."""
        ...

    def lowest_fee_stroops(self, envelope: Envelope) -> int:
        """Per operation, to be let into the queue."""
        ...

    def going_rate_stroops(self) -> int:
        """Per operation, charged to whoever bid that much."""
        ...

    def loses(self, envelope: Envelope) -> bool:
        """Accepted, but in no queue: it will never be applied."""
        ...

    def failure(self, envelope: Envelope) -> ForcedFailure | None:
        """Asked once for each transaction that enters a ledger."""
        ...

    def is_frozen(self, address: str, asset: str) -> bool: ...

    def note_frozen(self, address: str, asset: str) -> None:
        """A transfer was refused for it."""
        ...


class Calm:
    stopped = False

    def refusal(self, _envelope: Envelope) -> None:
        return None

    def lowest_fee_stroops(self, _envelope: Envelope) -> int:
        return BASE_FEE_STROOPS

    def going_rate_stroops(self) -> int:
        return BASE_FEE_STROOPS

    def loses(self, _envelope: Envelope) -> bool:
        return False

    def failure(self, _envelope: Envelope) -> None:
        return None

    def is_frozen(self, _address: str, _asset: str) -> bool:
        return False

    def note_frozen(self, _address: str, _asset: str) -> None:
        return None
