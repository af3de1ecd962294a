"""Trustless Work's single-release escrow, V1, in the layout of testnet.

There ``release_funds`` and ``resolve_dispute`` take the address that receives Trustless Work's share as their second
argument: the caller chooses it, so a client has to check it. Checks stand in the order of the contract's source; the
first that fails decides the error.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stellar_sdk import scval, xdr

from sandbox.contracts import asset_contract
from sandbox.contracts.errors import EscrowError
from sandbox.contracts.escrow_record import Escrow, Milestone, as_escrow, escrow_value
from sandbox.contracts.escrow_storage import put_escrow, stored_escrow
from sandbox.contracts.fees import MAX_PLATFORM_FEE_BPS
from sandbox.contracts.payout import MAX_DISTRIBUTIONS, pay_out
from sandbox.contracts.values import as_address, as_amounts, as_i128, as_string, as_u32, vec_value

if TYPE_CHECKING:
    from sandbox.contracts.call import Call

MAX_MILESTONES = 50


def initialize_escrow(call: Call) -> xdr.SCVal:
    (properties,) = call.arguments(1)
    escrow = as_escrow(properties)
    if stored_escrow(call) is not None:
        call.refuse(EscrowError.EscrowAlreadyInitialized)
    if escrow.platform_fee_bps > MAX_PLATFORM_FEE_BPS:
        call.refuse(EscrowError.PlatformFeeTooHigh)
    if not escrow.milestones:
        call.refuse(EscrowError.NoMilestoneDefined)
    if len(escrow.milestones) > MAX_MILESTONES:
        call.refuse(EscrowError.TooManyMilestones)
    if _any_flag(escrow):
        call.refuse(EscrowError.FlagsMustBeFalse)
    if escrow.amount_stroops < 0:
        call.refuse(EscrowError.AmountCannotBeZero)
    return _store(call, escrow, "tw_init")


def fund_escrow(call: Call) -> xdr.SCVal:
    signer_arg, expected, amount_arg = call.arguments(3)
    signer, amount_stroops = as_address(signer_arg), as_i128(amount_arg)
    call.require_auth(signer)
    stored = _stored(call)
    if amount_stroops <= 0:
        call.refuse(EscrowError.AmountCannotBeZero)
    if expected.to_xdr_bytes() != stored.to_xdr_bytes():
        call.refuse(EscrowError.EscrowPropertiesMismatch)
    token = as_escrow(stored).trustline
    if call.world.balance_stroops(token, signer) < amount_stroops:
        call.refuse(EscrowError.InsufficientFundsForEscrowFunding)
    asset_contract.transfer(call.inner(token, "transfer", asset_contract.transfer_args(signer, call.contract_id, amount_stroops)))
    call.emit("tw_fund", vec_value([signer_arg, amount_arg]))
    return scval.to_void()


def change_milestone_status(call: Call) -> xdr.SCVal:
    index_arg, status_arg, evidence_arg, provider_arg = call.arguments(4)
    provider, index, status = as_address(provider_arg), as_u32(index_arg), as_string(status_arg)
    evidence = None if evidence_arg.type == xdr.SCValType.SCV_VOID else as_string(evidence_arg)
    call.require_auth(provider)
    escrow = as_escrow(_stored(call))
    if not status:
        call.refuse(EscrowError.EmptyMilestoneStatus)
    if provider != escrow.roles.service_provider:
        call.refuse(EscrowError.OnlyServiceProviderChangeMilstoneStatus)
    if index >= len(escrow.milestones):
        call.refuse(EscrowError.MilestoneToUpdateDoesNotExist)
    milestone = escrow.milestones[index]
    changed = replace(milestone, status=status, evidence=milestone.evidence if evidence is None else evidence)
    return _store(call, _with_milestone(escrow, index, changed), "tw_ms_change")


def approve_milestone(call: Call) -> xdr.SCVal:
    index_arg, approver_arg = call.arguments(2)
    approver, index = as_address(approver_arg), as_u32(index_arg)
    call.require_auth(approver)
    escrow = as_escrow(_stored(call))
    if index >= len(escrow.milestones):
        call.refuse(EscrowError.MilestoneToApproveDoesNotExist)
    if approver != escrow.roles.approver:
        call.refuse(EscrowError.OnlyApproverChangeMilstoneFlag)
    if escrow.milestones[index].approved:
        call.refuse(EscrowError.MilestoneHasAlreadyBeenApproved)
    if not escrow.milestones[index].status:
        call.refuse(EscrowError.EmptyMilestoneStatus)
    approved = replace(escrow.milestones[index], approved=True)
    return _store(call, _with_milestone(escrow, index, approved), "tw_ms_approve")


def release_funds(call: Call) -> xdr.SCVal:
    signer_arg, fee_recipient = call.arguments(2)
    signer = as_address(signer_arg)
    call.require_auth(signer)
    escrow = as_escrow(_stored(call))
    _check_release(call, escrow, signer)
    put_escrow(call, escrow_value(replace(escrow, flags=replace(escrow.flags, released=True))))
    if call.world.balance_stroops(escrow.trustline, call.contract_id) < escrow.amount_stroops:
        call.refuse(EscrowError.EscrowBalanceNotEnoughToSendEarnings)
    pay_out(call, escrow, as_address(fee_recipient), {escrow.roles.receiver: escrow.amount_stroops})
    call.emit("tw_release", signer_arg)
    return scval.to_void()


def dispute_escrow(call: Call) -> xdr.SCVal:
    """A released escrow can still be disputed, as on the real network; there is then nothing to resolve but an excess."""
    (signer_arg,) = call.arguments(1)
    signer = as_address(signer_arg)
    call.require_auth(signer)
    escrow = as_escrow(_stored(call))
    roles = escrow.roles
    if escrow.flags.disputed:
        call.refuse(EscrowError.EscrowAlreadyInDispute)
    if escrow.flags.resolved:
        call.refuse(EscrowError.EscrowAlreadyResolved)
    if signer == roles.dispute_resolver:
        call.refuse(EscrowError.DisputeResolverCannotDisputeTheEscrow)
    if signer not in {roles.approver, roles.service_provider, roles.platform, roles.release_signer, roles.receiver}:
        call.refuse(EscrowError.UnauthorizedToChangeDisputeFlag)
    return _store(call, replace(escrow, flags=replace(escrow.flags, disputed=True)), "tw_dispute")


def resolve_dispute(call: Call) -> xdr.SCVal:
    resolver_arg, fee_recipient, distributions_arg = call.arguments(3)
    resolver, distributions = as_address(resolver_arg), as_amounts(distributions_arg)
    call.require_auth(resolver)
    escrow = as_escrow(_stored(call))
    if any(amount <= 0 for amount in distributions.values()):
        call.refuse(EscrowError.AmountsToBeTransferredShouldBePositive)
    if len(distributions) > MAX_DISTRIBUTIONS:
        call.refuse(EscrowError.TooManyDistributions)
    if resolver != escrow.roles.dispute_resolver:
        call.refuse(EscrowError.OnlyDisputeResolverCanExecuteThisFunction)
    if not escrow.flags.disputed:
        call.refuse(EscrowError.EscrowNotInDispute)
    _check_total(call, sum(distributions.values()), call.world.balance_stroops(escrow.trustline, call.contract_id))
    pay_out(call, escrow, as_address(fee_recipient), distributions)
    return _store(call, replace(escrow, flags=replace(escrow.flags, resolved=True, disputed=False)), "tw_disp_resolve")


def get_escrow(call: Call) -> xdr.SCVal:
    call.arguments(0)
    return _stored(call)


FUNCTIONS = {
    "initialize_escrow": initialize_escrow,
    "fund_escrow": fund_escrow,
    "change_milestone_status": change_milestone_status,
    "approve_milestone": approve_milestone,
    "release_funds": release_funds,
    "dispute_escrow": dispute_escrow,
    "resolve_dispute": resolve_dispute,
    "get_escrow": get_escrow,
}


def _check_release(call: Call, escrow: Escrow, signer: str) -> None:
    if escrow.flags.released:
        call.refuse(EscrowError.EscrowAlreadyReleased)
    if escrow.flags.resolved:
        call.refuse(EscrowError.EscrowAlreadyResolved)
    if signer != escrow.roles.release_signer:
        call.refuse(EscrowError.OnlyReleaseSignerCanReleaseEarnings)
    if not all(milestone.approved for milestone in escrow.milestones):
        call.refuse(EscrowError.EscrowNotCompleted)
    if escrow.flags.disputed:
        call.refuse(EscrowError.EscrowOpenedForDisputeResolution)


def _check_total(call: Call, total_stroops: int, balance_stroops: int) -> None:
    if total_stroops == 0:
        call.refuse(EscrowError.TotalAmountCannotBeZero)
    if total_stroops > balance_stroops:
        call.refuse(EscrowError.InsufficientFundsForResolution)
    if total_stroops != balance_stroops:
        call.refuse(EscrowError.DistributionsMustEqualEscrowBalance)


def _any_flag(escrow: Escrow) -> bool:
    flags = escrow.flags
    return flags.disputed or flags.released or flags.resolved or any(milestone.approved for milestone in escrow.milestones)


def _with_milestone(escrow: Escrow, index: int, milestone: Milestone) -> Escrow:
    return replace(escrow, milestones=(*escrow.milestones[:index], milestone, *escrow.milestones[index + 1 :]))


def _stored(call: Call) -> xdr.SCVal:
    stored = stored_escrow(call)
    if stored is None:
        call.refuse(EscrowError.EscrowNotFound)
    return stored


def _store(call: Call, escrow: Escrow, event: str) -> xdr.SCVal:
    stored = escrow_value(escrow)
    put_escrow(call, stored)
    call.emit(event, vec_value([stored]))
    return stored
