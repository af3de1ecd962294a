"""Pay a user's money out to an account on the network: hold it, and give it back only when the payment provably never applies."""

from __future__ import annotations

from dataclasses import dataclass, replace

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.operation_facts import confirmed_attempt, emit_mismatch, fail_operation, get_operation, is_finished, require_moved
from offerhub.commands.orders import check_standing
from offerhub.commands.reserve import insufficient_funds
from offerhub.domain import ids, ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.events import Event
from offerhub.domain.messages import Movement, PlannedStep, Refusal, WithdrawalInput, WithdrawalPlan, WithdrawalView
from offerhub.domain.money import USDC, format_amount
from offerhub.domain.plans import PAY_OUT, OperationKind, intent_id
from offerhub.domain.states import AttemptState, WalletState, WithdrawalState, check_withdrawal_transition
from offerhub.domain.withdrawals import CRYPTO, Destination, Memo, check_destination, invalid_destination
from offerhub.storage import attempts, operations, users, wallets, withdrawals
from offerhub.storage import ledger as books
from offerhub.storage.operations import OperationRecord
from offerhub.storage.unit_of_work import Transaction, WorkflowMessage, new_id
from offerhub.storage.users import Standing
from offerhub.storage.withdrawals import WithdrawalChange, WithdrawalRecord

WITHDRAWAL_WORKFLOW = "Withdrawal"
_PRIORITY = 1


@dataclass(frozen=True)
class RequestWithdrawal:
    user_id: str
    amount_stroops: int
    memo: Memo | None = None
    description: str | None = None
    currency: str = USDC


@dataclass(frozen=True)
class AcceptedWithdrawal:
    """A withdrawal whose money is held, and the operation that carries it out."""

    withdrawal: WithdrawalRecord
    operation: OperationRecord

    @property
    def resource(self) -> WithdrawalRecord:
        return self.withdrawal


async def request_withdrawal(
    transaction: Transaction, request: RequestWithdrawal, destination: Destination, least_stroops: int
) -> AcceptedWithdrawal:
    """User's ``available → transit``, state ``COMMITTED``. ``destination`` was read from the network before; it is judged here.

    Raises ``LIMIT_EXCEEDED``, ``USER_NOT_FOUND``, ``USER_SUSPENDED``, ``WALLET_NOT_READY``, ``WITHDRAWAL_DESTINATION_INVALID``,
    ``INSUFFICIENT_FUNDS``; then nothing is held.
    """
    if request.amount_stroops < least_stroops:
        least = format_amount(least_stroops)
        raise DomainError(ErrorCode.LIMIT_EXCEEDED, f"A withdrawal is at least {least} USDC.", {"minimum": least})
    await _standing(transaction, request.user_id)
    check_destination(destination, request.amount_stroops, request.memo)
    await _check_not_ours(transaction, destination.address, request.user_id)
    account = ledger.available(request.user_id)
    available = (await books.lock_balances(transaction, (account,)))[account]
    if available < request.amount_stroops:
        raise insufficient_funds(available, request.amount_stroops)
    return await _accept(transaction, request, destination.address)


async def begin_withdrawal(transaction: Transaction, operation_id: str) -> WithdrawalPlan:
    """``COMMITTED → PENDING`` and the step to carry out; none when the operation is finished already."""
    operation = await get_operation(transaction, operation_id)
    withdrawal = await _lock(transaction, operation.resource_id)
    if is_finished(operation):
        return WithdrawalPlan(operation.id, view(withdrawal))
    await operations.start(transaction, operation.id)
    if withdrawal.state is WithdrawalState.COMMITTED:
        withdrawal = await _move(transaction, withdrawal, WithdrawalState.PENDING)
    return WithdrawalPlan(operation.id, view(withdrawal), _planned(withdrawal))


async def book_withdrawal(transaction: Transaction, operation_id: str) -> WithdrawalView:
    """``transit → world`` and ``PENDING → COMPLETED``, from what the chain moved; repeated calls change nothing.

    Raises ``LedgerMismatchError`` when the chain moved anything else than the one payment of this withdrawal.
    """
    operation = await get_operation(transaction, operation_id)
    withdrawal = await _lock(transaction, operation.resource_id)
    if is_finished(operation):
        return view(withdrawal)
    payment = await confirmed_attempt(transaction, operation.id, PAY_OUT)
    promised = Movement(await _wallet(transaction, withdrawal.user_id), withdrawal.destination, withdrawal.amount)
    require_moved("the withdrawal", promised, [Movement(**movement) for movement in payment.movements or ()])
    await books.post(transaction, ledger.withdrawn(withdrawal.id, withdrawal.amount, payment.inner_hash))
    completed = await _move(transaction, withdrawal, WithdrawalState.COMPLETED, transaction_hash=payment.inner_hash)
    await operations.finish(transaction, operation.id)
    return view(completed)


async def refuse_withdrawal(transaction: Transaction, refusal: Refusal) -> WithdrawalView:
    """``transit → available`` and ``PENDING → FAILED``, but only if no envelope of this withdrawal has applied or still may.

    If one may, nothing changes and the state stays ``PENDING``: what became of the envelope has to be found out first. The user's
    account is locked, so that none can be signed meanwhile; afterwards none can, because the place in the account's queue is gone.
    """
    operation = await get_operation(transaction, refusal.operation_id)
    withdrawal = await _lock(transaction, operation.resource_id)
    if is_finished(operation):
        return view(withdrawal)
    await attempts.holder(transaction, await _wallet(transaction, withdrawal.user_id))
    signed = await attempts.of_intent(transaction, intent_id(operation.id, PAY_OUT))
    if any(attempt.is_open or attempt.state is AttemptState.CONFIRMED for attempt in signed):
        return view(withdrawal)
    await fail_operation(transaction, refusal)
    change = BalanceChange("balance.credited", withdrawal.user_id, withdrawal.amount, "withdrawal_failed", withdrawal_id=withdrawal.id)
    await book(transaction, ledger.withdrawal_failed(withdrawal.id, withdrawal.user_id, withdrawal.amount), change)
    failure = {"code": refusal.code, "message": refusal.message}
    return view(await _move(transaction, withdrawal, WithdrawalState.FAILED, failure=failure))


async def report_withdrawal_mismatch(transaction: Transaction, operation_id: str, sentence: str) -> WithdrawalView:
    operation = await get_operation(transaction, operation_id)
    emit_mismatch(transaction, operation.id, sentence)
    return view(await _lock(transaction, operation.resource_id))


async def _accept(transaction: Transaction, request: RequestWithdrawal, destination: str) -> AcceptedWithdrawal:
    withdrawal = WithdrawalRecord(
        id=new_id("wd"),
        user_id=request.user_id,
        amount=request.amount_stroops,
        currency=request.currency,
        destination_type=CRYPTO,
        destination=destination,
        memo=request.memo,
        description=request.description,
        state=WithdrawalState.CREATED,
        operation_id=new_id("op"),
        created_at=transaction.now,
        updated_at=transaction.now,
    )
    workflow_id = ids.withdrawal_workflow_id(withdrawal.id)
    operation = OperationRecord(withdrawal.operation_id, OperationKind.WITHDRAWAL, "withdrawal", withdrawal.id, "PENDING", workflow_id)
    await operations.insert(transaction, operation)
    await withdrawals.insert(transaction, withdrawal)
    memo = {"memo": request.memo.value, "memoType": request.memo.type} if request.memo else {}
    _emit(transaction, "withdrawal.created", withdrawal, **memo)
    after = {"userId": withdrawal.user_id, "amount": format_amount(withdrawal.amount), "destination": destination, **memo}
    transaction.audit("withdrawal.created", ("withdrawal", withdrawal.id), None, after)
    await books.open_accounts(transaction, (ledger.in_transit(withdrawal.id),))
    change = BalanceChange("balance.debited", withdrawal.user_id, withdrawal.amount, "withdrawal", withdrawal_id=withdrawal.id)
    await book(transaction, ledger.withdraw(withdrawal.id, withdrawal.user_id, withdrawal.amount), change)
    committed = await _move(transaction, withdrawal, WithdrawalState.COMMITTED)
    start = WithdrawalInput(withdrawal.id, operation.id, summary_of(committed))
    transaction.tell_workflow(WorkflowMessage(WITHDRAWAL_WORKFLOW, workflow_id, "", vars(start), _PRIORITY))
    stored = await operations.get(transaction, operation.id)
    assert stored is not None, "written in this transaction"
    return AcceptedWithdrawal(committed, stored)


async def _standing(transaction: Transaction, user_id: str) -> Standing:
    standing = (await users.standings(transaction, (user_id,))).get(user_id)
    check_standing(user_id, standing)
    if standing is None or standing.wallet_state != WalletState.READY:
        message = f"The wallet of user {user_id} is still being prepared; try again."
        raise DomainError(ErrorCode.WALLET_NOT_READY, message, {"userId": user_id})
    return standing


async def _check_not_ours(transaction: Transaction, address: str, user_id: str) -> None:
    owner = await wallets.whose(transaction, address)
    if owner is None:
        return
    if owner[1] == user_id:
        raise invalid_destination(address, "This is the user's own wallet.")
    if owner[0] == "USER":
        raise invalid_destination(address, "This is the wallet of another user here; users pay each other through orders.")
    raise invalid_destination(address, "This is one of the platform's own accounts.")


async def _wallet(transaction: Transaction, user_id: str) -> str:
    return str((await users.standings(transaction, (user_id,)))[user_id].public_key)


async def _lock(transaction: Transaction, withdrawal_id: str) -> WithdrawalRecord:
    withdrawal = await withdrawals.lock(transaction, withdrawal_id)
    if withdrawal is None:
        raise LookupError(f"there is no withdrawal {withdrawal_id}")
    return withdrawal


async def _move(
    transaction: Transaction,
    withdrawal: WithdrawalRecord,
    target: WithdrawalState,
    *,
    transaction_hash: str | None = None,
    failure: dict[str, str] | None = None,
) -> WithdrawalRecord:
    """The guarded transition with its event and audit entry."""
    check_withdrawal_transition(withdrawal.state, target)
    await withdrawals.set_state(transaction, withdrawal.id, WithdrawalChange(withdrawal.state, target, transaction_hash, failure))
    name = target.removeprefix("WITHDRAWAL_").lower()
    transaction.audit(f"withdrawal.{name}", ("withdrawal", withdrawal.id), {"state": withdrawal.state}, {"state": target})
    finished_at = transaction.now if target in (WithdrawalState.COMPLETED, WithdrawalState.FAILED) else None
    moved = replace(
        withdrawal,
        state=target,
        transaction_hash=transaction_hash,
        failure=failure,
        updated_at=transaction.now,
        finished_at=finished_at,
    )
    learned = {**({"transactionHash": transaction_hash} if transaction_hash else {}), **(failure or {})}
    _emit(transaction, f"withdrawal.{name}", moved, operationId=moved.operation_id, **learned)
    return moved


def _emit(transaction: Transaction, event_type: str, withdrawal: WithdrawalRecord, **fields: str) -> None:
    payload = {
        "withdrawalId": withdrawal.id,
        "userId": withdrawal.user_id,
        "status": withdrawal.state,
        "amount": format_amount(withdrawal.amount),
        "destinationType": withdrawal.destination_type,
        "destinationRef": withdrawal.destination,
        **fields,
    }
    transaction.emit(Event(event_type, withdrawal.id, payload, (withdrawal.user_id,)))


def _planned(withdrawal: WithdrawalRecord) -> PlannedStep:
    summary = f"pay out · user {withdrawal.user_id} · {format_amount(withdrawal.amount)} USDC → {withdrawal.destination}"
    return PlannedStep(intent_id(withdrawal.operation_id, PAY_OUT), PAY_OUT.action, summary, "horizon")


def summary_of(withdrawal: WithdrawalRecord) -> str:
    amount = format_amount(withdrawal.amount)
    return f"Withdrawal {withdrawal.id} · {amount} USDC · {withdrawal.user_id} → {withdrawal.destination}"


def view(withdrawal: WithdrawalRecord) -> WithdrawalView:
    memo = f"{withdrawal.memo.type}: {withdrawal.memo.value}" if withdrawal.memo else ""
    return WithdrawalView(
        withdrawal_id=withdrawal.id,
        user_id=withdrawal.user_id,
        state=withdrawal.state,
        amount=format_amount(withdrawal.amount),
        amount_stroops=withdrawal.amount,
        destination=withdrawal.destination,
        memo=memo,
    )
