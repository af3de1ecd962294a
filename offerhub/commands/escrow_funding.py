"""Move the reserved money into the contract, and book what the chain moved."""

from __future__ import annotations

from collections.abc import Sequence

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.operation_facts import require_moved
from offerhub.commands.order_facts import Accepted, accept, emit_escrow, in_flight, lock_order, move_escrow, move_order, require_idle
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import Movement, Refusal
from offerhub.domain.money import format_amount
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import EscrowState, OrderState, require_order_state
from offerhub.storage import operations, users
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import EscrowChange, OrderRecord
from offerhub.storage.unit_of_work import Transaction

_NEVER_FUNDED = frozenset({EscrowState.CREATING, EscrowState.CREATED, EscrowState.FUNDING, EscrowState.ABANDONED})


async def request_funding(transaction: Transaction, order_id: str) -> Accepted:
    """Escrow ``CREATED → FUNDING``. Raises ``ESCROW_NOT_FOUND``, ``ESCROW_NOT_READY``, ``ESCROW_ALREADY_FUNDED``, ``INVALID_STATE``."""
    order = await lock_order(transaction, order_id)
    running = await in_flight(transaction, order, OperationKind.ESCROW_FUNDING)
    if running is not None:
        return Accepted(order, running)
    if order.escrow is None:
        raise DomainError(ErrorCode.ESCROW_NOT_FOUND, "The order has no escrow yet; create it first.", {"orderId": order.id})
    if order.escrow.state not in _NEVER_FUNDED:
        raise DomainError(ErrorCode.ESCROW_ALREADY_FUNDED, "The escrow is funded already.", {"escrowId": order.escrow.id})
    if order.state is OrderState.ESCROW_CREATING:
        raise DomainError(ErrorCode.ESCROW_NOT_READY, "The escrow contract is still being created.", {"escrowId": order.escrow.id})
    require_order_state(order.state, OrderState.ESCROW_FUNDING)
    require_idle(order)
    moved = await start_funding(transaction, order)
    operation = await accept(transaction, moved, OperationKind.ESCROW_FUNDING)
    return Accepted(moved, operation)


async def start_funding(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    moved = await move_escrow(transaction, order, EscrowState.FUNDING)
    emit_escrow(transaction, "escrow.funding_started", moved)
    return moved


async def book_funding(transaction: Transaction, order: OrderRecord, operation: OperationRecord, fund: AttemptRecord) -> OrderRecord:
    """Buyer's ``reserved → escrow``, order → ``IN_PROGRESS``. Raises ``LedgerMismatchError`` when the chain moved anything else."""
    await _check_movements(transaction, order, [Movement(**m) for m in fund.movements or ()])
    order = await move_escrow(transaction, order, EscrowState.FUNDED, EscrowChange(fund_hash=fund.inner_hash))
    contract, proof = order.the_escrow.contract_id, fund.inner_hash
    change = BalanceChange("balance.debited", order.buyer_id, order.amount, "escrow_funding", order.id)
    await book(transaction, ledger.fund(order.the_escrow.id, order.buyer_id, order.amount, proof), change)
    funded = await move_order(transaction, order, OrderState.ESCROW_FUNDED, contractId=contract, transactionHash=proof)
    emit_escrow(transaction, "escrow.funded", funded, amount=format_amount(order.amount), transactionHash=proof)
    moved = await move_order(transaction, funded, OrderState.IN_PROGRESS)
    await operations.finish(transaction, operation.id)
    return moved


async def undo_funding(transaction: Transaction, order: OrderRecord, _operation: OperationRecord, _refusal: Refusal) -> OrderRecord:
    """The contract or network refused: the contract exists, empty; the order rests in ``ESCROW_FUNDING``."""
    if order.the_escrow.state is not EscrowState.FUNDING:
        return order
    return await move_escrow(transaction, order, EscrowState.CREATED)


async def _check_movements(transaction: Transaction, order: OrderRecord, movements: Sequence[Movement]) -> None:
    buyer = (await users.standings(transaction, (order.buyer_id,)))[order.buyer_id]
    require_moved("funding", Movement(str(buyer.public_key), str(order.the_escrow.contract_id), order.amount), movements)
