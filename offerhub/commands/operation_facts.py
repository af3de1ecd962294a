"""What every operation shares, whatever it is about: its start, its proof, its refusal, and the alarm when books and chain disagree."""

from __future__ import annotations

from collections.abc import Sequence

from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.events import Event
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.money import format_amount
from offerhub.domain.plans import Step, intent_id
from offerhub.domain.states import AttemptState, OperationStatus
from offerhub.storage import attempts, operations
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.unit_of_work import Transaction

_FINISHED = frozenset({OperationStatus.SUCCEEDED, OperationStatus.FAILED})


async def get_operation(transaction: Transaction, operation_id: str) -> OperationRecord:
    operation = await operations.get(transaction, operation_id)
    if operation is None:
        raise LookupError(f"there is no operation {operation_id}")
    return operation


def is_finished(operation: OperationRecord) -> bool:
    return operation.status in _FINISHED


async def confirmed_attempt(transaction: Transaction, operation_id: str, step: Step) -> AttemptRecord:
    """The applied envelope of a step: what a booking is made from. ``LookupError`` when there is none."""
    for attempt in await attempts.of_intent(transaction, intent_id(operation_id, step)):
        if attempt.state is AttemptState.CONFIRMED:
            return attempt
    raise LookupError(f"{step.name} of operation {operation_id} is not confirmed")


async def fail_operation(transaction: Transaction, refusal: Refusal) -> bool:
    """Operation FAILED with its reason, source accounts given back; False (and nothing done) when it was finished before."""
    error = {"code": refusal.code, "message": refusal.message, "details": refusal.details}
    if not await operations.finish(transaction, refusal.operation_id, error):
        return False
    await attempts.leave_queues_of(transaction, refusal.operation_id)
    return True


def require_moved(doing: str, promised: Movement, found: Sequence[Movement]) -> None:
    """Raises ``LedgerMismatchError``, in words that a person can look into, when the chain moved anything but what was promised."""
    if list(found) != [promised]:
        raise LedgerMismatchError(f"{doing} should have moved {_in_words([promised])}, the chain moved {_in_words(found)}")


def _in_words(movements: Sequence[Movement]) -> str:
    said = [f"{format_amount(one.amount_stroops)} USDC from {one.sender} to {one.recipient}" for one in movements]
    return ", ".join(said) or "nothing"


def emit_mismatch(transaction: Transaction, operation_id: str, sentence: str) -> None:
    """Say loudly that chain and quote disagree; the operation stays RUNNING until a human has decided."""
    payload = {"operationId": operation_id, "expected": "the amounts of the quote", "found": sentence}
    transaction.emit(Event("ledger.mismatch", operation_id, payload, ()))
    transaction.audit("ledger.mismatch", ("operation", operation_id), None, {"found": sentence})
