"""What a step means on the chain, derived from our own rows alone.

Both the asking and the signing side call this; neither trusts the other.
"""

from __future__ import annotations

from dataclasses import dataclass

from offerhub.commands.order_facts import gross_of
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.intents import (
    ActivateWallets,
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    EscrowTerms,
    FreezeEscrow,
    FundEscrow,
    OwnIntent,
    PayOut,
    ReleaseFunds,
    ResolveEscrow,
    TrustAsset,
    WithdrawRemaining,
)
from offerhub.domain.plans import OWN_PAYMENTS, Action, OperationKind, Step, parse_intent_id, plan
from offerhub.domain.states import MilestoneState, WithdrawalState
from offerhub.storage import ledger as books
from offerhub.storage import operations, orders, users, wallets, withdrawals
from offerhub.storage.operations import OperationRecord
from offerhub.storage.orders import OrderRecord
from offerhub.storage.unit_of_work import Transaction

ACTIVATION_PREFIX = "wallets/"
TRUST_PREFIX = "platform/"
# More wallets than any batch holds, so that a batch is seen whole.
_ALL_ACTIVATING = 100
_DELIVERED = "completed"


@dataclass(frozen=True)
class EscrowStep:
    """A step of an operation with the call it makes; ``contract_id`` is None before the contract exists."""

    intent_id: str
    step: Step
    operation: OperationRecord
    intent: EscrowIntent
    contract_id: str | None

    @property
    def doing(self) -> str:
        return f"{self.step.action.value.replace('_', ' ')} of order {self.operation.resource_id}"


@dataclass(frozen=True)
class OwnStep:
    """A transaction that we build ourselves; ``operation`` is None for the platform's own accounts and the wallet stock."""

    intent_id: str
    intent: OwnIntent
    operation: OperationRecord | None = None
    step: Step | None = None


def is_own(intent_id: str) -> bool:
    return intent_id.startswith((ACTIVATION_PREFIX, TRUST_PREFIX)) or intent_id.partition("/")[2] in OWN_PAYMENTS


def activation_intent_id(first_public_key: str) -> str:
    return f"{ACTIVATION_PREFIX}{first_public_key}/activate"


def trust_intent_id(public_key: str) -> str:
    return f"{TRUST_PREFIX}{public_key}/trust"


async def escrow_step(transaction: Transaction, intent_id: str) -> EscrowStep:
    operation_id, step = parse_intent_id(intent_id)
    operation = await operations.get(transaction, operation_id)
    order = await orders.get(transaction, operation.resource_id) if operation is not None else None
    if operation is None or order is None:
        raise LookupError(f"there is no operation {operation_id}")
    if operation.status in ("SUCCEEDED", "FAILED"):
        raise DomainError(ErrorCode.INVALID_STATE, f"Operation {operation_id} is {operation.status}; it has no steps left.")
    _check_planned(operation, step, len(order.milestones))
    contract_id = order.the_escrow.contract_id
    return EscrowStep(intent_id, step, operation, await _intent(transaction, order, operation, step), contract_id)


async def own_step(transaction: Transaction, intent_id: str) -> OwnStep:
    if intent_id.startswith(TRUST_PREFIX):
        return OwnStep(intent_id, await _trust(transaction, intent_id))
    if intent_id.startswith(ACTIVATION_PREFIX):
        return OwnStep(intent_id, await _activation(transaction, intent_id))
    operation_id, step = parse_intent_id(intent_id)
    operation = await operations.get(transaction, operation_id)
    if operation is None:
        raise LookupError(f"there is no operation {operation_id}")
    _check_planned(operation, step)
    pay = _compensation if step.action is Action.COMPENSATE else _pay_out
    return OwnStep(intent_id, await pay(transaction, operation), operation, step)


def _check_planned(operation: OperationRecord, step: Step, milestones: int = 0) -> None:
    """Each kind of operation has its own steps, and no others are ever signed for it."""
    if step not in plan(OperationKind(operation.kind), [MilestoneState.OPEN] * milestones, operation.subject):
        raise LookupError(f"{step.name} is no step of operation {operation.id}, a {operation.kind}")


async def _trust(transaction: Transaction, intent_id: str) -> TrustAsset:
    for account in await wallets.platform_accounts(transaction):
        if account.kind == "PLATFORM" and trust_intent_id(account.public_key) == intent_id:
            return TrustAsset(account.public_key)
    raise LookupError(f"{intent_id} is not the platform account's trustline")


async def _activation(transaction: Transaction, intent_id: str) -> ActivateWallets:
    batch = await wallets.in_state(transaction, "USER", ["ACTIVATING"], _ALL_ACTIVATING)
    sponsor = await wallets.platform_key(transaction, "SPONSOR")
    if not batch or activation_intent_id(batch[0].public_key) != intent_id or sponsor is None:
        raise LookupError(f"{intent_id} is not the batch of wallets being activated")
    return ActivateWallets(sponsor, tuple(wallet.public_key for wallet in batch))


async def _pay_out(transaction: Transaction, operation: OperationRecord) -> PayOut:
    """Nothing is paid that the books do not hold for exactly this withdrawal."""
    withdrawal = await withdrawals.get(transaction, operation.resource_id)
    if withdrawal is None:
        raise LookupError(f"operation {operation.id} is not about a withdrawal")
    if withdrawal.state is not WithdrawalState.PENDING:
        raise DomainError(ErrorCode.INVALID_STATE, f"Withdrawal {withdrawal.id} is {withdrawal.state}; nothing is left to pay.")
    held = await books.balance(transaction, ledger.in_transit(withdrawal.id))
    wallet = (await users.standings(transaction, (withdrawal.user_id,)))[withdrawal.user_id].public_key
    if held != withdrawal.amount or wallet is None:
        raise LookupError(f"the books hold {held} stroops for withdrawal {withdrawal.id}, not {withdrawal.amount}")
    return PayOut(wallet, withdrawal.destination, withdrawal.amount, withdrawal.memo)


async def _compensation(transaction: Transaction, operation: OperationRecord) -> PayOut:
    """Out of the platform's wallet; whether that holds enough, the network says."""
    order = await orders.get(transaction, operation.resource_id)
    platform = await wallets.platform_key(transaction, "PLATFORM")
    if order is None or platform is None:
        raise LookupError(f"operation {operation.id} compensates nobody")
    buyer = (await users.standings(transaction, (order.buyer_id,)))[order.buyer_id]
    return PayOut(platform, str(buyer.public_key), operation.subject.buyer_stroops, None)


async def _intent(transaction: Transaction, order: OrderRecord, operation: OperationRecord, step: Step) -> EscrowIntent:
    escrow = order.the_escrow
    standings = await users.standings(transaction, (order.buyer_id, order.seller_id))
    buyer, seller = str(standings[order.buyer_id].public_key), str(standings[order.seller_id].public_key)
    if step.action is Action.DEPLOY:
        return DeployEscrow(escrow.signer, await _terms(transaction, order, buyer, seller))
    if escrow.contract_id is None:
        raise LookupError(f"escrow {escrow.id} has no contract yet")
    if step.action is Action.FUND:
        return FundEscrow(buyer, escrow.contract_id, await _terms(transaction, order, buyer, seller), order.amount)
    if step.action in (Action.COMPLETE_MILESTONE, Action.APPROVE_MILESTONE):
        return _on_milestone(order, operation, step, seller if step.action is Action.COMPLETE_MILESTONE else buyer)
    return _on_funded(order, operation, step, (buyer, seller))


def _on_funded(order: OrderRecord, operation: OperationRecord, step: Step, parties: tuple[str, str]) -> EscrowIntent:
    """Calls that pay out of the contract, or freeze it. ``parties`` are the wallets of buyer and seller."""
    buyer, seller = parties
    escrow, subject, contract_id = order.the_escrow, operation.subject, str(order.the_escrow.contract_id)
    shares = tuple((who, amount) for who, amount in ((seller, subject.seller_stroops), (buyer, subject.buyer_gross_stroops)) if amount)
    match step.action:
        case Action.RELEASE:
            return ReleaseFunds(buyer, contract_id, step.milestone_index)
        case Action.DISPUTE_BY_BUYER | Action.DISPUTE_BY_SELLER:
            party = buyer if step.action is Action.DISPUTE_BY_BUYER else seller
            return FreezeEscrow(party, contract_id, step.milestone_index)
        case Action.RESOLVE:
            return ResolveEscrow(escrow.signer, contract_id, shares, step.milestone_index)
        case Action.WITHDRAW_REMAINING:
            return WithdrawRemaining(escrow.signer, contract_id, shares)
        case _:
            raise LookupError(f"{step.action} is no call of a contract")


def _on_milestone(order: OrderRecord, operation: OperationRecord, step: Step, source: str) -> EscrowIntent:
    index, contract_id = step.milestone_index, str(order.the_escrow.contract_id)
    if index is None:
        raise LookupError(f"{step.action} names no milestone")
    if step.action is Action.APPROVE_MILESTONE:
        return ApproveMilestone(source, contract_id, index, order.is_per_milestone)
    evidence = operation.subject.evidence or f"{order.id} {order.milestones[index].ref}"
    return ChangeMilestoneStatus(source, contract_id, index, _DELIVERED, evidence, order.is_per_milestone)


async def _terms(transaction: Transaction, order: OrderRecord, buyer: str, seller: str) -> EscrowTerms:
    """Approver and release signer are the buyer, receiver is the seller, the escrow's own platform signer decides disputes."""
    platform = await wallets.platform_key(transaction, "PLATFORM")
    if platform is None:
        raise DomainError(ErrorCode.WALLET_NOT_READY, "The platform's account is not ready yet.")
    return EscrowTerms(
        engagement_id=order.id,
        title=order.title,
        description=order.description or order.title,
        approver=buyer,
        service_provider=seller,
        platform=platform,
        release_signer=buyer,
        dispute_resolver=order.the_escrow.signer,
        receiver=seller,
        amount_stroops=order.amount,
        platform_fee_bps=order.platform_fee_bps,
        milestones=tuple(milestone.title for milestone in order.milestones),
        milestone_amounts=tuple(gross_of(order, milestone.position) for milestone in order.milestones) if order.is_per_milestone else (),
    )
