"""Money that somebody outside has paid into a contract: the books take it in when it is found, and it leaves with the buyer's share.

A single-release contract is only resolved when the shares sum to all it holds; a multi-release one is emptied once all is paid.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.operation_facts import get_operation, is_finished
from offerhub.commands.order_facts import accept, emit_escrow, lock_order, tell_order_workflow
from offerhub.commands.payouts import paid_out
from offerhub.domain import ledger
from offerhub.domain.ledger import Beneficiaries
from offerhub.domain.money import format_amount
from offerhub.domain.plans import OperationKind, Subject
from offerhub.domain.states import AttemptState, OrderState
from offerhub.storage import attempts, maintenance, operations, orders
from offerhub.storage import ledger as books
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

# At once; the others are told the next time.
MOST_TOLD = 100
_RESOLVING = frozenset({OperationKind.REFUND, OperationKind.DISPUTE_RESOLUTION})


async def take_in_excess(transaction: Transaction, operation_id: str, held_stroops: int) -> int:
    """``held_stroops`` is what the chain shows before a resolution: what goes beyond the decided shares goes to the buyer with them.

    Returns what that is by now, in stroops. What an earlier resolution that was refused has taken in is in the books already. Nothing
    happens once an envelope is signed that may apply, or on multi-release contracts (a milestone is resolved by its own amount).
    """
    operation = await get_operation(transaction, operation_id)
    order = await lock_order(transaction, operation.resource_id)
    if is_finished(operation) or OperationKind(operation.kind) not in _RESOLVING or operation.subject.per_milestone:
        return operation.subject.excess_stroops
    subject = operation.subject
    excess = held_stroops - subject.seller_stroops - subject.buyer_stroops
    resolving = [one for one in await attempts.of_operation(transaction, operation.id) if one.step and one.step["action"] == "resolve"]
    if excess <= subject.excess_stroops or any(one.is_open or one.state is AttemptState.CONFIRMED for one in resolving):
        return subject.excess_stroops
    await _take_in(transaction, order, operation.id, held_stroops)
    await operations.set_subject(transaction, operation.id, replace(subject, excess_stroops=excess))
    return excess


async def withdraw_remaining(transaction: Transaction, order_id: str, held_stroops: int) -> OperationRecord | None:
    """After the last milestone is paid: what the contract still holds, nobody knows from whom, goes to the buyer.

    None: it is empty, or the instance is drained.
    """
    order = await lock_order(transaction, order_id)
    if not order.is_per_milestone or order.state is not OrderState.CLOSED or held_stroops <= 0 or order.operation is not None:
        return None
    if (await maintenance.get(transaction)).draining:
        # Nothing begins now; once it is in the books, the end of the drain finds it.
        await _take_in(transaction, order, None, held_stroops)
        return None
    operation = await accept(transaction, order, OperationKind.REMAINDER, Subject(excess_stroops=held_stroops))
    await _take_in(transaction, order, operation.id, held_stroops)
    return operation


async def tell_not_emptied(transaction: Transaction, untouched_since: datetime) -> int:
    """Where a remainder was refused, the order's workflow looks at the contract again; returns how many are told."""
    found = await orders.not_emptied(transaction, untouched_since, MOST_TOLD)
    for order_id in found:
        tell_order_workflow(transaction, order_id, is_due=True)
    return len(found)


async def book_remainder(transaction: Transaction, order: OrderRecord, operation: OperationRecord, paid: AttemptRecord) -> OrderRecord:
    """``escrow → buyer`` less the contract's fees; the order has been closed before."""
    payout = await paid_out(transaction, order, operation.subject, paid)
    parties = Beneficiaries(order.the_escrow.id, order.seller_id, order.buyer_id)
    change = BalanceChange("balance.credited", order.buyer_id, payout.buyer_stroops, "escrow_refund", order.id)
    await book(transaction, ledger.pay_out((operation.id, "remainder"), parties, payout, paid.inner_hash), change)
    await operations.finish(transaction, operation.id)
    return order


async def _take_in(transaction: Transaction, order: OrderRecord, operation_id: str | None, held_stroops: int) -> None:
    excess = held_stroops - await books.balance(transaction, ledger.in_escrow(order.the_escrow.id))
    if excess <= 0:
        return
    await books.post(transaction, ledger.excess(f"{operation_id or order.id}/{held_stroops}", order.the_escrow.id, excess))
    transaction.audit("escrow.excess_found", ("escrow", order.the_escrow.id), None, {"amount": format_amount(excess)})
    emit_escrow(transaction, "escrow.excess_found", order, amount=format_amount(excess), operationId=operation_id)
