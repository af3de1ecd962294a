"""Faults of the network itself: refusals, failures, fees, lost envelopes, frozen trustlines, a ledger that stands still.

They hit envelopes rather than requests, wherever those came from, and never the sandbox's own payments (friendbot, faucet).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal, Self, TypeVar

from pydantic import AfterValidator, Field, model_validator
from stellar_sdk import StrKey, xdr

from sandbox.faults.board import Fault, FaultBoard
from sandbox.faults.kind import Lasting, Occasion, Scoped, envelope_bytes
from sandbox.identities import channel_keypairs
from sandbox.ledger.disturbance import ForcedFailure
from sandbox.ledger.entries import BASE_FEE_STROOPS
from sandbox.ledger.envelope import Envelope
from sandbox.ledger.results import (
    TransactionRefused,
    operation_code,
    operation_outcome,
    operation_texts,
    transaction_texts,
    untouched_outcome,
)

S = TypeVar("S", bound=Scoped)
_CODE = xdr.TransactionResultCode
_OUTER = frozenset({_CODE.txINSUFFICIENT_FEE, _CODE.txINSUFFICIENT_BALANCE})


def _known_code(value: str) -> str:
    if value not in transaction_texts() and value not in operation_texts():
        raise ValueError(f"must be one of {', '.join([*transaction_texts(), *operation_texts()])}")
    return value


def _account(value: str) -> str:
    if not StrKey.is_valid_ed25519_public_key(value):
        raise ValueError("must be an account (G...)")
    return value


class RefuseTransaction(Scoped):
    """A transaction ends with result ``code``: a tx_ code refuses it at submission, an operation's code fails it on the ledger.

    On the ledger it uses up its sequence number and fee. An operation's code with ``at`` ``validation`` refuses it at submission, with
    tx_failed. ``operation`` is the position of the operation that fails; transactions whose operation knows no such code are left alone.
    """

    code: Annotated[str, AfterValidator(_known_code)]
    at: Literal["validation", "ledger"] | None = None
    operation: int = Field(default=0, ge=0, lt=100)

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.at == "ledger" and self.code in transaction_texts():
            raise ValueError("a tx_ code refuses at submission; on the ledger give an operation's code")
        return self

    @property
    def at_submission(self) -> bool:
        return self.code in transaction_texts() or self.at == "validation"

    def forced(self, envelope: Envelope) -> ForcedFailure | None:
        if self.code in transaction_texts() or self.operation >= len(envelope.operations):
            return None
        code = operation_code(self.code, envelope.operations[self.operation].type)
        return None if code is None else ForcedFailure(self.operation, code)

    def refusal(self, envelope: Envelope) -> TransactionRefused | None:
        bumped = envelope.fee_bump is not None
        if self.code in transaction_texts():
            code = transaction_texts()[self.code]
            return TransactionRefused(code, inner=bumped and code not in _OUTER)
        forced = self.forced(envelope)
        if forced is None:
            return None
        outcomes = [untouched_outcome(each.type) for each in envelope.operations]
        outcomes[forced.position] = operation_outcome(envelope.operations[forced.position].type, forced.code)
        return TransactionRefused(_CODE.txFAILED, tuple(outcomes), inner=bumped)


class FeeSurge(Scoped):
    """The lowest fee per operation rises to ``feeStroops``: lower bids get tx_insufficient_fee with the fee needed, the others pay it."""

    fee_stroops: int = Field(gt=BASE_FEE_STROOPS, le=10**9)


class ExpireEnvelopes(Scoped):
    """A transaction is accepted and then dropped by every node: whoever posts it again gets PENDING, until it is too late for it."""


class FreezeTrustline(Lasting):
    """The issuer freezes the trustline of ``account``, for USDC or the ``asset`` given as CODE:ISSUER; deleting the fault thaws it."""

    account: Annotated[str, AfterValidator(_account)]
    asset: str | None = Field(default=None, pattern=r"^[A-Za-z0-9]{1,12}:G[A-Z2-7]{55}$")


class StopLedger(Lasting):
    """No ledger closes, unless by hand through POST /control/ledger."""


class NetworkFaults:
    """Implements ``sandbox.ledger.disturbance.Disturbance``."""

    def __init__(self, board: FaultBoard, network_passphrase: str, usdc: str) -> None:
        self._board = board
        self._usdc = usdc
        self._own = frozenset(each.public_key for each in channel_keypairs(network_passphrase))
        self._lost: dict[bytes, Fault[ExpireEnvelopes]] = {}

    @property
    def stopped(self) -> bool:
        return self._board.any(StopLedger)

    def refusal(self, envelope: Envelope) -> TransactionRefused | None:
        fault = self._strike(RefuseTransaction, envelope, lambda kind: kind.at_submission and kind.refusal(envelope) is not None)
        return None if fault is None else fault.kind.refusal(envelope)

    def lowest_fee_stroops(self, envelope: Envelope) -> int:
        fault = self._strike(FeeSurge, envelope, lambda kind: envelope.inclusion_fee < kind.fee_stroops * envelope.fee_units)
        return BASE_FEE_STROOPS if fault is None else fault.kind.fee_stroops

    def going_rate_stroops(self) -> int:
        rates = [fault.kind.fee_stroops for fault in self._board.active if isinstance(fault.kind, FeeSurge)]
        return max(rates, default=BASE_FEE_STROOPS)

    def loses(self, envelope: Envelope) -> bool:
        """Once lost, lost for good: also after the fault was used up, but not after it was deleted."""
        known = self._lost.get(envelope.inner_hash)
        if known is not None and (known in self._board.active or known in self._board.spent):
            return True
        fault = self._strike(ExpireEnvelopes, envelope)
        if fault is None:
            self._lost.pop(envelope.inner_hash, None)
            return False
        self._lost[envelope.inner_hash] = fault
        return True

    def failure(self, envelope: Envelope) -> ForcedFailure | None:
        fault = self._strike(RefuseTransaction, envelope, lambda kind: not kind.at_submission and kind.forced(envelope) is not None)
        return None if fault is None else fault.kind.forced(envelope)

    def is_frozen(self, address: str, asset: str) -> bool:
        return self._freezing(address, asset) is not None

    def note_frozen(self, address: str, asset: str) -> None:
        fault = self._freezing(address, asset)
        if fault is not None:
            fault.fired += 1

    def _strike(self, kind: type[S], envelope: Envelope, suits: Callable[[S], bool] | None = None) -> Fault[S] | None:
        if envelope.source in self._own or not self._board.any(kind):
            return None
        return self._board.strike(kind, Occasion(envelope=envelope_bytes(envelope.envelope_xdr)), suits)

    def _freezing(self, address: str, asset: str) -> Fault[FreezeTrustline] | None:
        for fault in self._board.lasting(FreezeTrustline):
            if fault.kind.account == address and (fault.kind.asset or self._usdc) == asset:
                return fault
        return None
