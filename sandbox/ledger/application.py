"""Applying one valid transaction: fee and sequence first and for good, then its operations, all or none."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from stellar_sdk import xdr

from sandbox.ledger.context import LedgerMoment, OperationContext
from sandbox.ledger.envelope import Envelope, Operation
from sandbox.ledger.operations import apply_operation
from sandbox.ledger.reserves import Sponsorships
from sandbox.ledger.results import OperationOutcome, OperationRefused, TransactionOutcome, operation_outcome
from sandbox.ledger.soroban import ContractCall
from sandbox.ledger.state import Overlay, State
from sandbox.ledger.validity import authorize_operation

_CODE = xdr.TransactionResultCode


@dataclass(frozen=True)
class AppliedOperation:
    """``facts`` are what history needs beyond the operation itself: sponsor, begin_sponsor, contract call."""

    operation: Operation
    outcome: OperationOutcome
    facts: dict[str, Any]


@dataclass(frozen=True)
class Application:
    """A transaction as it ended up on the ledger."""

    envelope: Envelope
    outcome: TransactionOutcome
    operations: tuple[AppliedOperation, ...]

    @property
    def contract_call(self) -> ContractCall | None:
        call: ContractCall | None = self.operations[0].facts.get("call")
        return call


def apply_transaction(envelope: Envelope, state: State, moment: LedgerMoment) -> Application:
    """``envelope`` must have passed ``check_validity`` against this very state."""
    forced = state.disturbance.failure(envelope)
    fee_charged = _charge(envelope, state, moment)
    view = Overlay(state)
    sponsorships = Sponsorships()
    applied = tuple(
        _forced(each, forced.code)
        if forced is not None and forced.position == position
        else _apply_operation(each, envelope, view, sponsorships, moment)
        for position, each in enumerate(envelope.operations)
    )
    code, outcomes = _CODE.txSUCCESS, tuple(each.outcome for each in applied)
    if not all(each.successful for each in outcomes):
        code = _CODE.txFAILED
    elif sponsorships.any_open:
        code, outcomes = _CODE.txBAD_SPONSORSHIP, ()
    if code == _CODE.txSUCCESS:
        _merge(view, state, moment)
    inner_hash = envelope.inner_hash if envelope.fee_bump is not None else None
    return Application(envelope, TransactionOutcome(code, fee_charged, outcomes, inner_hash), applied)


def _charge(envelope: Envelope, state: State, moment: LedgerMoment) -> int:
    """Everybody pays the going rate, which is the base fee unless fees surge, and Soroban its whole resource fee."""
    view = Overlay(state)
    payer = view.edit(envelope.fee_source)
    fee = min(state.disturbance.going_rate_stroops() * envelope.fee_units + envelope.resource_fee, envelope.max_fee, payer.balance)
    payer.balance -= fee
    state.fee_pool += fee
    source = view.edit(envelope.source)
    source.sequence = envelope.sequence
    source.sequence_ledger = moment.sequence
    source.sequence_time = moment.close_time
    _merge(view, state, moment)
    return fee


def _forced(operation: Operation, code: IntEnum) -> AppliedOperation:
    return AppliedOperation(operation, operation_outcome(operation.type, code), {})


def _apply_operation(
    operation: Operation, envelope: Envelope, view: Overlay, sponsorships: Sponsorships, moment: LedgerMoment
) -> AppliedOperation:
    context = OperationContext(moment, Overlay(view), operation, sponsorships, envelope.soroban_data)
    try:
        authorize_operation(operation, view, envelope.signatures, applying=True)
        outcome = apply_operation(context)
    except OperationRefused as refused:
        outcome = operation_outcome(operation.type, refused.code)
    else:
        view.absorb(context.view)
    return AppliedOperation(operation, outcome, context.facts)


def _merge(view: Overlay, state: State, moment: LedgerMoment) -> None:
    for account in view.accounts.values():
        if account is not None:
            account.last_modified_ledger = moment.sequence
            account.last_modified_time = moment.close_time
    state.merge(view)
