"""Deploy an order's escrow contract: accept the wish, and book the contract once the chain has it."""

from __future__ import annotations

from dataclasses import replace

from offerhub.commands.order_facts import Accepted, accept, emit_escrow, in_flight, lock_order, move_escrow, move_order
from offerhub.commands.orders import check_standing
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import Refusal
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import EscrowState, OrderState, WalletState, require_order_state
from offerhub.storage import ledger as books
from offerhub.storage import operations, orders, users, wallets
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import EscrowChange, EscrowRecord, OrderRecord
from offerhub.storage.unit_of_work import Transaction, new_id


async def request_escrow(transaction: Transaction, order_id: str) -> Accepted:
    """``FUNDS_RESERVED → ESCROW_CREATING``. Asked again while it runs, the running operation is the answer.

    Raises ``ESCROW_ALREADY_EXISTS``, ``INVALID_STATE``, ``WALLET_NOT_READY``.
    """
    order = await lock_order(transaction, order_id)
    running = await in_flight(transaction, order, OperationKind.ESCROW_CREATION)
    if running is not None:
        return Accepted(order, running)
    if order.escrow is not None:
        details = {"orderId": order.id, "escrowId": order.escrow.id, "contractId": order.escrow.contract_id}
        raise DomainError(ErrorCode.ESCROW_ALREADY_EXISTS, "The order has an escrow already.", details)
    require_order_state(order.state, OrderState.FUNDS_RESERVED)
    moved = await move_order(transaction, await open_escrow(transaction, order), OrderState.ESCROW_CREATING)
    operation = await accept(transaction, moved, OperationKind.ESCROW_CREATION)
    return Accepted(moved, operation)


async def book_escrow_created(
    transaction: Transaction, order: OrderRecord, operation: OperationRecord, deploy: AttemptRecord
) -> OrderRecord:
    """``ESCROW_CREATING → ESCROW_FUNDING`` with the contract id that was derived before the deployment was sent."""
    learned = EscrowChange(contract_id=deploy.contract_id, deploy_hash=deploy.inner_hash)
    created = await move_escrow(transaction, order, EscrowState.CREATED, learned)
    moved = await move_order(transaction, created, OrderState.ESCROW_FUNDING, contractId=deploy.contract_id)
    emit_escrow(transaction, "escrow.created", moved, transactionHash=deploy.inner_hash)
    if operation.kind == OperationKind.ESCROW_CREATION:
        await operations.finish(transaction, operation.id)
    return moved


async def undo_escrow_creation(transaction: Transaction, order: OrderRecord, _operation: OperationRecord, _refusal: Refusal) -> OrderRecord:
    """The deployment was refused: nothing exists on the chain, so nothing exists here."""
    if order.state is not OrderState.ESCROW_CREATING:
        return order
    await orders.drop_escrow(transaction, order.the_escrow.id)
    return await move_order(transaction, replace(order, escrow=None), OrderState.FUNDS_RESERVED)


async def open_escrow(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    """The escrow's row, with the signer that will deploy the contract and resolve its disputes. Raises ``WALLET_NOT_READY``."""
    await _check_wallets(transaction, order)
    signer = await wallets.next_signer(transaction)
    if signer is None:
        raise DomainError(ErrorCode.WALLET_NOT_READY, "The platform's signer accounts are still being prepared; try again.")
    escrow = EscrowRecord(
        id=new_id("esc"),
        order_id=order.id,
        state=EscrowState.CREATING,
        amount=order.amount,
        signer=signer,
        contract_id=None,
        deploy_hash=None,
        fund_hash=None,
        release_hash=None,
        created_at=transaction.now,
        updated_at=transaction.now,
    )
    await orders.insert_escrow(transaction, escrow)
    await books.open_accounts(transaction, (ledger.in_escrow(escrow.id),))
    return replace(order, escrow=escrow)


async def _check_wallets(transaction: Transaction, order: OrderRecord) -> None:
    standings = await users.standings(transaction, (order.buyer_id, order.seller_id))
    for user_id in (order.buyer_id, order.seller_id):
        check_standing(user_id, standings.get(user_id))
        if standings[user_id].wallet_state != WalletState.READY:
            message = f"The wallet of user {user_id} is still being prepared; try again."
            raise DomainError(ErrorCode.WALLET_NOT_READY, message, {"userId": user_id})
