"""Trustless Work's multi-release escrow, V1, in the layout of testnet.

Every milestone has its own amount, receiver, approval, dispute and end, but the money is one balance: a milestone takes
what it needs of whatever the contract holds. As in the single-release contract the caller chooses who receives Trustless
Work's share. Checks stand in the order of the contract's source; the first that fails decides the error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stellar_sdk import scval, xdr

from sandbox.contracts import asset_contract
from sandbox.contracts.errors import MultiReleaseError
from sandbox.contracts.escrow_storage import put_escrow, stored_escrow
from sandbox.contracts.fees import MAX_PLATFORM_FEE_BPS
from sandbox.contracts.multi_release_record import MultiReleaseEscrow, PaidMilestone, as_multi_release, multi_release_value
from sandbox.contracts.payout import MAX_DISTRIBUTIONS, pay_out
from sandbox.contracts.values import as_address, as_amounts, as_i128, as_string, as_u32, vec_value

if TYPE_CHECKING:
    from sandbox.contracts.call import Call

MAX_MILESTONES = 50
RESOLVED = "resolved"


def initialize_escrow(call: Call) -> xdr.SCVal:
    (properties,) = call.arguments(1)
    escrow = as_multi_release(properties)
    if stored_escrow(call) is not None:
        call.refuse(MultiReleaseError.EscrowAlreadyInitialized)
    if _balance(call, escrow) > 0:
        call.refuse(MultiReleaseError.EscrowBalanceMustBeZeroOnInitialization)
    if escrow.platform_fee_bps > MAX_PLATFORM_FEE_BPS:
        call.refuse(MultiReleaseError.PlatformFeeTooHigh)
    if not escrow.milestones:
        call.refuse(MultiReleaseError.NoMileStoneDefined)
    if len(escrow.milestones) > MAX_MILESTONES:
        call.refuse(MultiReleaseError.TooManyMilestones)
    if any(milestone.amount_stroops <= 0 for milestone in escrow.milestones):
        call.refuse(MultiReleaseError.AmountCannotBeZero)
    if any(any(vars(milestone.flags).values()) for milestone in escrow.milestones):
        call.refuse(MultiReleaseError.FlagsMustBeFalse)
    return _store(call, escrow, "tw_init")


def fund_escrow(call: Call) -> xdr.SCVal:
    signer_arg, expected, amount_arg = call.arguments(3)
    signer, amount_stroops = as_address(signer_arg), as_i128(amount_arg)
    call.require_auth(signer)
    stored = _stored(call)
    if amount_stroops <= 0:
        call.refuse(MultiReleaseError.AmountCannotBeZero)
    if expected.to_xdr_bytes() != stored.to_xdr_bytes():
        call.refuse(MultiReleaseError.EscrowPropertiesMismatch)
    token = as_multi_release(stored).trustline
    if call.world.balance_stroops(token, signer) < amount_stroops:
        call.refuse(MultiReleaseError.InsufficientFundsForEscrowFunding)
    asset_contract.transfer(call.inner(token, "transfer", asset_contract.transfer_args(signer, call.contract_id, amount_stroops)))
    call.emit("tw_fund", vec_value([signer_arg, amount_arg]))
    return scval.to_void()


def change_milestone_status(call: Call) -> xdr.SCVal:
    index_arg, status_arg, evidence_arg, provider_arg = call.arguments(4)
    provider, index, status = as_address(provider_arg), as_u32(index_arg), as_string(status_arg)
    evidence = None if evidence_arg.type == xdr.SCValType.SCV_VOID else as_string(evidence_arg)
    call.require_auth(provider)
    escrow = as_multi_release(_stored(call))
    if provider != escrow.roles.service_provider:
        call.refuse(MultiReleaseError.OnlyServiceProviderChangeMilstoneStatus)
    if not status:
        call.refuse(MultiReleaseError.EmptyMilestoneStatus)
    milestone = _milestone(call, escrow, index, MultiReleaseError.MilestoneToUpdateDoesNotExist)
    changed = replace(milestone, status=status, evidence=milestone.evidence if evidence is None else evidence)
    return _store(call, _with_milestone(escrow, index, changed), "tw_ms_change")


def approve_milestone(call: Call) -> xdr.SCVal:
    index_arg, approver_arg = call.arguments(2)
    approver, index = as_address(approver_arg), as_u32(index_arg)
    call.require_auth(approver)
    escrow = as_multi_release(_stored(call))
    if approver != escrow.roles.approver:
        call.refuse(MultiReleaseError.OnlyApproverChangeMilstoneFlag)
    milestone = _milestone(call, escrow, index, MultiReleaseError.MilestoneToApproveDoesNotExist)
    if milestone.flags.approved:
        call.refuse(MultiReleaseError.MilestoneHasAlreadyBeenApproved)
    if not milestone.status:
        call.refuse(MultiReleaseError.EmptyMilestoneStatus)
    return _store(call, _with_flags(escrow, index, approved=True), "tw_ms_approve")


def release_milestone_funds(call: Call) -> xdr.SCVal:
    signer_arg, fee_recipient, index_arg = call.arguments(3)
    signer, index = as_address(signer_arg), as_u32(index_arg)
    call.require_auth(signer)
    escrow = as_multi_release(_stored(call))
    milestone = _milestone(call, escrow, index, MultiReleaseError.MilestoneNotFound)
    _check_release(call, escrow, milestone, signer)
    put_escrow(call, multi_release_value(_with_flags(escrow, index, released=True)))
    if _balance(call, escrow) < milestone.amount_stroops:
        call.refuse(MultiReleaseError.EscrowBalanceNotEnoughToSendEarnings)
    pay_out(call, escrow, as_address(fee_recipient), {milestone.receiver: milestone.amount_stroops})
    call.emit("tw_release", signer_arg)
    return scval.to_void()


def dispute_milestone(call: Call) -> xdr.SCVal:
    index_arg, signer_arg = call.arguments(2)
    signer, index = as_address(signer_arg), as_u32(index_arg)
    call.require_auth(signer)
    escrow = as_multi_release(_stored(call))
    milestone = _milestone(call, escrow, index, MultiReleaseError.InvalidMileStoneIndex)
    if milestone.flags.released:
        call.refuse(MultiReleaseError.MilestoneAlreadyReleased)
    if milestone.flags.resolved:
        call.refuse(MultiReleaseError.MilestoneAlreadyResolved)
    if milestone.flags.disputed:
        call.refuse(MultiReleaseError.MilestoneAlreadyInDispute)
    if signer not in {*vars(escrow.roles).values(), milestone.receiver}:
        call.refuse(MultiReleaseError.UnauthorizedToChangeDisputeFlag)
    if signer == escrow.roles.dispute_resolver:
        call.refuse(MultiReleaseError.DisputeResolverCannotDisputeTheMilestone)
    return _store(call, _with_flags(escrow, index, disputed=True), "tw_dispute")


def resolve_milestone_dispute(call: Call) -> xdr.SCVal:
    """Also sets the milestone's status text, which the service provider may overwrite afterwards."""
    resolver_arg, index_arg, fee_recipient, distributions_arg = call.arguments(4)
    resolver, index, distributions = as_address(resolver_arg), as_u32(index_arg), as_amounts(distributions_arg)
    call.require_auth(resolver)
    if len(distributions) > MAX_DISTRIBUTIONS:
        call.refuse(MultiReleaseError.TooManyDistributions)
    escrow = as_multi_release(_stored(call))
    milestone = _milestone(call, escrow, index, MultiReleaseError.InvalidMileStoneIndex)
    if any(amount <= 0 for amount in distributions.values()):
        call.refuse(MultiReleaseError.AmountsToBeTransferredShouldBePositive)
    _check_resolution(call, escrow, milestone, resolver)
    total_stroops = sum(distributions.values())
    if total_stroops > milestone.amount_stroops:
        call.refuse(MultiReleaseError.TotalDisputeFundsMustNotExceedTheMilestoneAmount)
    _check_total(call, escrow, total_stroops)
    pay_out(call, escrow, as_address(fee_recipient), distributions)
    named = _with_milestone(escrow, index, replace(milestone, status=RESOLVED))
    return _store(call, _with_flags(named, index, resolved=True, disputed=False), "tw_disp_resolve")


def withdraw_remaining_funds(call: Call) -> xdr.SCVal:
    """Of what no milestone will take any more, whole or in part; it ends nothing and may be repeated."""
    resolver_arg, fee_recipient, distributions_arg = call.arguments(3)
    resolver, distributions = as_address(resolver_arg), as_amounts(distributions_arg)
    call.require_auth(resolver)
    if len(distributions) > MAX_DISTRIBUTIONS:
        call.refuse(MultiReleaseError.TooManyDistributions)
    stored = _stored(call)
    escrow = as_multi_release(stored)
    if any(amount <= 0 for amount in distributions.values()):
        call.refuse(MultiReleaseError.AmountsToBeTransferredShouldBePositive)
    if resolver != escrow.roles.dispute_resolver:
        call.refuse(MultiReleaseError.OnlyDisputeResolverCanExecuteThisFunction)
    if not all(_is_processed(milestone) for milestone in escrow.milestones):
        call.refuse(MultiReleaseError.EscrowNotFullyProcessed)
    _check_total(call, escrow, sum(distributions.values()))
    pay_out(call, escrow, as_address(fee_recipient), distributions)
    call.emit("tw_withdraw", vec_value([stored]))
    return stored


def get_escrow(call: Call) -> xdr.SCVal:
    call.arguments(0)
    return _stored(call)


FUNCTIONS = {
    "initialize_escrow": initialize_escrow,
    "fund_escrow": fund_escrow,
    "change_milestone_status": change_milestone_status,
    "approve_milestone": approve_milestone,
    "release_milestone_funds": release_milestone_funds,
    "dispute_milestone": dispute_milestone,
    "resolve_milestone_dispute": resolve_milestone_dispute,
    "withdraw_remaining_funds": withdraw_remaining_funds,
    "get_escrow": get_escrow,
}


def _check_release(call: Call, escrow: MultiReleaseEscrow, milestone: PaidMilestone, signer: str) -> None:
    """A resolved milestone is refused in the words of the whole escrow, as in the source."""
    if milestone.flags.released:
        call.refuse(MultiReleaseError.MilestoneAlreadyReleased)
    if milestone.flags.resolved:
        call.refuse(MultiReleaseError.EscrowAlreadyResolved)
    if signer != escrow.roles.release_signer:
        call.refuse(MultiReleaseError.OnlyReleaseSignerCanReleaseEarnings)
    if not milestone.flags.approved:
        call.refuse(MultiReleaseError.MilestoneNotCompleted)
    if milestone.flags.disputed:
        call.refuse(MultiReleaseError.MilestoneOpenedForDisputeResolution)


def _check_resolution(call: Call, escrow: MultiReleaseEscrow, milestone: PaidMilestone, resolver: str) -> None:
    if resolver != escrow.roles.dispute_resolver:
        call.refuse(MultiReleaseError.OnlyDisputeResolverCanExecuteThisFunction)
    if milestone.flags.released:
        call.refuse(MultiReleaseError.MilestoneAlreadyReleased)
    if milestone.flags.resolved:
        call.refuse(MultiReleaseError.MilestoneAlreadyResolved)
    if not milestone.flags.disputed:
        call.refuse(MultiReleaseError.MilestoneNotInDispute)


def _check_total(call: Call, escrow: MultiReleaseEscrow, total_stroops: int) -> None:
    if total_stroops > _balance(call, escrow):
        call.refuse(MultiReleaseError.InsufficientFundsForResolution)
    if total_stroops == 0:
        call.refuse(MultiReleaseError.TotalAmountCannotBeZero)


def _is_processed(milestone: PaidMilestone) -> bool:
    """An open dispute counts, although its milestone may still be owed money."""
    return milestone.flags.released or milestone.flags.resolved or milestone.flags.disputed


def _balance(call: Call, escrow: MultiReleaseEscrow) -> int:
    return call.world.balance_stroops(escrow.trustline, call.contract_id)


def _milestone(call: Call, escrow: MultiReleaseEscrow, index: int, missing: MultiReleaseError) -> PaidMilestone:
    if index >= len(escrow.milestones):
        call.refuse(missing)
    return escrow.milestones[index]


def _with_milestone(escrow: MultiReleaseEscrow, index: int, milestone: PaidMilestone) -> MultiReleaseEscrow:
    return replace(escrow, milestones=(*escrow.milestones[:index], milestone, *escrow.milestones[index + 1 :]))


def _with_flags(escrow: MultiReleaseEscrow, index: int, **flags: bool) -> MultiReleaseEscrow:
    milestone = escrow.milestones[index]
    return _with_milestone(escrow, index, replace(milestone, flags=replace(milestone.flags, **flags)))


def _stored(call: Call) -> xdr.SCVal:
    stored = stored_escrow(call)
    if stored is None:
        call.refuse(MultiReleaseError.EscrowNotFound)
    return stored


def _store(call: Call, escrow: MultiReleaseEscrow, event: str) -> xdr.SCVal:
    stored = multi_release_value(escrow)
    put_escrow(call, stored)
    call.emit(event, vec_value([stored]))
    return stored
