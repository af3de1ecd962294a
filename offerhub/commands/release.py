"""Pay an escrow out to the seller, and book what the chain moved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from offerhub.commands.balances import BalanceChange, book
from offerhub.commands.order_facts import Accepted, accept, close_order, emit_escrow, in_flight, lock_order, move_escrow, move_order
from offerhub.domain import ledger
from offerhub.domain.errors import LedgerMismatchError
from offerhub.domain.fees import ReleaseSplit, split_release
from offerhub.domain.messages import Movement
from offerhub.domain.money import format_amount
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import EscrowState, FinalStatus, OrderState, require_order_state
from offerhub.storage import operations, orders, users, wallets
from offerhub.storage.attempts import AttemptRecord
from offerhub.storage.orders import EscrowChange, OrderRecord
from offerhub.storage.unit_of_work import Transaction


async def request_release(transaction: Transaction, order_id: str, reason: str | None, requested_by: str | None) -> Accepted:
    """``IN_PROGRESS → RELEASE_REQUESTED``. A second release is answered with the first one's operation, running or done."""
    order = await lock_order(transaction, order_id)
    first = await in_flight(transaction, order, OperationKind.RELEASE)
    if first is None and order.final_status is FinalStatus.RELEASED:
        first = await operations.last(transaction, order.id, OperationKind.RELEASE)
    if first is not None:
        return Accepted(order, first)
    require_order_state(order.state, OrderState.IN_PROGRESS)
    releasing = await move_escrow(transaction, order, EscrowState.RELEASING)
    moved = await move_order(transaction, releasing, OrderState.RELEASE_REQUESTED)
    transaction.audit("order.release_reason", ("order", order.id), None, {"reason": reason, "requestedBy": requested_by})
    operation = await accept(transaction, moved, OperationKind.RELEASE)
    return Accepted(moved, operation)


async def book_release(transaction: Transaction, order_id: str, operation_id: str, payout: AttemptRecord) -> OrderRecord:
    """``escrow → seller, platform, protocol`` as the chain moved it; order → ``RELEASED`` → ``CLOSED``.

    Raises ``LedgerMismatchError`` when the chain moved other amounts than the frozen fees promise.
    """
    order = await lock_order(transaction, order_id)
    if order.state is not OrderState.RELEASE_REQUESTED:
        return order
    split = split_release(order.amount, order.platform_fee_bps)
    await _check_movements(transaction, order, split, [Movement(**m) for m in payout.movements or ()])
    order = await move_escrow(transaction, order, EscrowState.RELEASED, EscrowChange(release_hash=payout.inner_hash))
    await orders.release_milestones(transaction, order.id)
    change = BalanceChange("balance.credited", order.seller_id, split.receiver_stroops, "escrow_release", order.id)
    await book(transaction, ledger.release(order.the_escrow.id, order.seller_id, split, payout.inner_hash), change)
    released = await move_order(
        transaction,
        order,
        OrderState.RELEASED,
        transactionHash=payout.inner_hash,
        sellerAmount=format_amount(split.receiver_stroops),
        platformFee=format_amount(split.platform_fee_stroops),
        protocolFee=format_amount(split.protocol_fee_stroops),
    )
    emit_escrow(transaction, "escrow.released", released, amount=format_amount(order.amount), transactionHash=payout.inner_hash)
    closed = await close_order(transaction, released, FinalStatus.RELEASED)
    await operations.finish(transaction, operation_id)
    return closed


async def undo_release(transaction: Transaction, order: OrderRecord) -> OrderRecord:
    """The contract refused: the money is still in it and the order back in progress."""
    if order.state is not OrderState.RELEASE_REQUESTED:
        return order
    funded = await move_escrow(transaction, order, EscrowState.FUNDED)
    return await move_order(transaction, funded, OrderState.IN_PROGRESS)


async def _check_movements(transaction: Transaction, order: OrderRecord, split: ReleaseSplit, movements: Sequence[Movement]) -> None:
    seller = (await users.standings(transaction, (order.seller_id,)))[order.seller_id].public_key
    platform = await wallets.platform_key(transaction, "PLATFORM")
    contract = order.the_escrow.contract_id
    found: Counter[str] = Counter()
    for movement in movements:
        if movement.sender != contract:
            raise LedgerMismatchError(f"the release moved money of {movement.sender}")
        found[{seller: "seller", platform: "platform"}.get(movement.recipient, "protocol")] += movement.amount_stroops
    promised = {"seller": split.receiver_stroops, "platform": split.platform_fee_stroops, "protocol": split.protocol_fee_stroops}
    if found != Counter({party: amount for party, amount in promised.items() if amount}):
        raise LedgerMismatchError(f"the release should have paid {promised}, the chain paid {dict(found)}")
