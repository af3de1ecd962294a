"""Every rule of the single-release escrow, against an in-memory world."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from stellar_sdk import scval, xdr

from sandbox.contracts.errors import MESSAGES, EscrowError, MultiReleaseError
from sandbox.contracts.escrow_record import Escrow, Flags, Milestone
from sandbox.contracts.interface import ContractFailure, ContractResult, Transfer
from sandbox.contracts.values import address_value, amounts_value, as_address, string_value
from sandbox.trustless.envelope import ContractCall
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FEE_ADDRESS,
    PLATFORM,
    RECEIVER,
    RELEASER,
    RESOLVER,
    SELLER,
    STRANGER,
    TOKEN,
    UNIT,
    MemoryWorld,
    address,
    deploy,
    escrow,
    fund,
    fund_call,
    run,
    state,
    stored,
    world,
)


def approve(into: MemoryWorld, contract_id: str, index: int = 0, approver: str = BUYER) -> ContractResult:
    args = [scval.to_uint32(index), address_value(approver)]
    return run(into, ContractCall(approver, contract_id, "approve_milestone", args))


def set_status(
    into: MemoryWorld, contract_id: str, status: str = "delivered", index: int = 0, evidence: str | None = "link", provider: str = SELLER
) -> ContractResult:
    proof = scval.to_void() if evidence is None else string_value(evidence)
    args = [scval.to_uint32(index), string_value(status), proof, address_value(provider)]
    return run(into, ContractCall(provider, contract_id, "change_milestone_status", args))


def release(into: MemoryWorld, contract_id: str, signer: str = RELEASER) -> ContractResult:
    args = [address_value(signer), address_value(FEE_ADDRESS)]
    return run(into, ContractCall(signer, contract_id, "release_funds", args))


def dispute(into: MemoryWorld, contract_id: str, signer: str = BUYER) -> ContractResult:
    return run(into, ContractCall(signer, contract_id, "dispute_escrow", [address_value(signer)]))


def resolve(into: MemoryWorld, contract_id: str, shares: dict[str, int], resolver: str = RESOLVER) -> ContractResult:
    args = [address_value(resolver), address_value(FEE_ADDRESS), amounts_value(shares)]
    return run(into, ContractCall(resolver, contract_id, "resolve_dispute", args))


def funded(properties: Escrow | None = None) -> tuple[MemoryWorld, str]:
    ledger = world(buyer=1_000 * UNIT)
    contract_id = deploy(ledger, properties)
    fund(ledger, contract_id, 100 * UNIT)
    ledger.transfers.clear()
    return ledger, contract_id


@contextmanager
def refused(error: EscrowError) -> Iterator[None]:
    """The call fails with exactly this error; numbers and names are those of the contract's source."""
    with pytest.raises(ContractFailure) as failure:
        yield
    assert (failure.value.name, failure.value.code) == (error.name, error.value)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"platform_fee_bps": 9_901}, EscrowError.PlatformFeeTooHigh),
        ({"milestones": ()}, EscrowError.NoMilestoneDefined),
        ({"milestones": (Milestone("m"),) * 51}, EscrowError.TooManyMilestones),
        ({"flags": Flags(disputed=True)}, EscrowError.FlagsMustBeFalse),
        ({"flags": Flags(released=True)}, EscrowError.FlagsMustBeFalse),
        ({"flags": Flags(resolved=True)}, EscrowError.FlagsMustBeFalse),
        ({"milestones": (Milestone("m", approved=True),)}, EscrowError.FlagsMustBeFalse),
        ({"amount_stroops": -1}, EscrowError.AmountCannotBeZero),
    ],
)
def test_initialisation_refuses(changes: dict[str, object], error: EscrowError) -> None:
    ledger = world()
    with refused(error):
        deploy(ledger, escrow(**changes))
    assert ledger.contracts == {}


@pytest.mark.parametrize("changes", [{"platform_fee_bps": 9_900}, {"milestones": (Milestone("m"),) * 50}, {"amount_stroops": 0}])
def test_initialisation_accepts_the_limits(changes: dict[str, object]) -> None:
    ledger = world()
    assert state(ledger, deploy(ledger, escrow(**changes))) == escrow(**changes)


def test_second_initialisation_is_refused() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    with refused(EscrowError.EscrowAlreadyInitialized):
        run(ledger, ContractCall(BUYER, contract_id, "initialize_escrow", [stored(ledger, contract_id)]))


def test_funding_moves_tokens_and_leaves_the_record_alone() -> None:
    ledger = world(buyer=100 * UNIT)
    contract_id = deploy(ledger)
    before = stored(ledger, contract_id).to_xdr_bytes()
    result = fund(ledger, contract_id, 60 * UNIT)
    assert ledger.transfers == [Transfer(TOKEN, BUYER, contract_id, 60 * UNIT)]
    assert ledger.balances[TOKEN, contract_id] == 60 * UNIT
    assert stored(ledger, contract_id).to_xdr_bytes() == before
    topics, data = result.events[0]
    assert scval.from_symbol(topics[0]) == "tw_fund"
    assert scval.to_native(data) == [scval.from_address(address_value(BUYER)), 60 * UNIT]


def test_partial_excess_and_late_funding_pass() -> None:
    ledger, contract_id = funded()
    fund(ledger, contract_id, 1)
    approve(ledger, contract_id)
    release(ledger, contract_id)
    fund(ledger, contract_id, 5)
    dispute(ledger, contract_id)
    fund(ledger, contract_id, 7)
    assert ledger.balances[TOKEN, contract_id] == 13


def test_funding_refusals() -> None:
    ledger = world(buyer=10)
    contract_id = deploy(ledger)
    for amount in (0, -1):
        with refused(EscrowError.AmountCannotBeZero):
            fund(ledger, contract_id, amount)
    with refused(EscrowError.InsufficientFundsForEscrowFunding):
        fund(ledger, contract_id, 11)


def test_funding_refuses_a_record_that_changed_since_it_was_built() -> None:
    ledger = world(buyer=10)
    contract_id = deploy(ledger)
    built = fund_call(contract_id, stored(ledger, contract_id), 10)
    set_status(ledger, contract_id)
    with refused(EscrowError.EscrowPropertiesMismatch):
        run(ledger, built)


def test_status_changes_text_and_evidence() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    set_status(ledger, contract_id, "delivered", evidence="https://x")
    set_status(ledger, contract_id, "delivered again", evidence=None)
    assert state(ledger, contract_id).milestones == (Milestone("deliver", "delivered again", "https://x"),)


def test_status_refusals() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    with refused(EscrowError.OnlyServiceProviderChangeMilstoneStatus):
        set_status(ledger, contract_id, provider=BUYER)
    with refused(EscrowError.MilestoneToUpdateDoesNotExist):
        set_status(ledger, contract_id, index=1)
    with refused(EscrowError.EmptyMilestoneStatus):
        set_status(ledger, contract_id, status="")


def test_status_may_change_whatever_happened_before() -> None:
    ledger, contract_id = funded()
    approve(ledger, contract_id)
    release(ledger, contract_id)
    set_status(ledger, contract_id, "late")
    dispute(ledger, contract_id)
    set_status(ledger, contract_id, "later")
    assert state(ledger, contract_id).milestones[0].status == "later"


def test_approval_and_its_refusals() -> None:
    ledger = world()
    contract_id = deploy(ledger, escrow(milestones=(Milestone("a"), Milestone("b", status=""))))
    with refused(EscrowError.OnlyApproverChangeMilstoneFlag):
        approve(ledger, contract_id, approver=SELLER)
    with refused(EscrowError.MilestoneToApproveDoesNotExist):
        approve(ledger, contract_id, index=2)
    with refused(EscrowError.EmptyMilestoneStatus):
        approve(ledger, contract_id, index=1)
    approve(ledger, contract_id)
    with refused(EscrowError.MilestoneHasAlreadyBeenApproved):
        approve(ledger, contract_id)
    assert [milestone.approved for milestone in state(ledger, contract_id).milestones] == [True, False]


def test_approval_is_possible_during_a_dispute() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    dispute(ledger, contract_id)
    approve(ledger, contract_id)
    assert state(ledger, contract_id).milestones[0].approved


def test_release_pays_trustless_work_then_platform_then_receiver_and_leaves_the_excess() -> None:
    ledger, contract_id = funded()
    fund(ledger, contract_id, 3)
    ledger.transfers.clear()
    approve(ledger, contract_id)
    result = release(ledger, contract_id)
    assert ledger.transfers == [
        Transfer(TOKEN, contract_id, FEE_ADDRESS, 3_000_000),
        Transfer(TOKEN, contract_id, PLATFORM, 50_000_000),
        Transfer(TOKEN, contract_id, RECEIVER, 947_000_000),
    ]
    assert ledger.balances[TOKEN, contract_id] == 3
    assert state(ledger, contract_id).flags == Flags(released=True)
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_release"]
    assert as_address(result.events[0][1]) == RELEASER


def test_release_without_platform_fee_makes_no_platform_transfer() -> None:
    ledger, contract_id = funded(escrow(platform_fee_bps=0))
    approve(ledger, contract_id)
    release(ledger, contract_id)
    assert [transfer.recipient for transfer in ledger.transfers] == [FEE_ADDRESS, RECEIVER]


def test_release_refusals_in_their_order() -> None:
    ledger, contract_id = funded()
    with refused(EscrowError.OnlyReleaseSignerCanReleaseEarnings):
        release(ledger, contract_id, signer=BUYER)
    with refused(EscrowError.EscrowNotCompleted):
        release(ledger, contract_id)
    approve(ledger, contract_id)
    dispute(ledger, contract_id)
    with refused(EscrowError.EscrowOpenedForDisputeResolution):
        release(ledger, contract_id)
    resolve(ledger, contract_id, {BUYER: 100 * UNIT})
    with refused(EscrowError.EscrowAlreadyResolved):
        release(ledger, contract_id)


def test_release_happens_once_and_only_when_the_balance_suffices() -> None:
    ledger = world(buyer=1_000 * UNIT)
    contract_id = deploy(ledger)
    approve(ledger, contract_id)
    fund(ledger, contract_id, 100 * UNIT - 1)
    with refused(EscrowError.EscrowBalanceNotEnoughToSendEarnings):
        release(ledger, contract_id)
    assert not state(ledger, contract_id).flags.released
    fund(ledger, contract_id, 1)
    release(ledger, contract_id)
    with refused(EscrowError.EscrowAlreadyReleased):
        release(ledger, contract_id)


def test_release_to_a_receiver_without_trustline_changes_nothing() -> None:
    ledger, contract_id = funded()
    approve(ledger, contract_id)
    del ledger.balances[TOKEN, RECEIVER]
    with pytest.raises(ContractFailure, match="TrustlineMissingError"):
        release(ledger, contract_id)
    assert ledger.transfers == []
    assert state(ledger, contract_id).flags == Flags()


@pytest.mark.parametrize("signer", [BUYER, SELLER, PLATFORM, RELEASER, RECEIVER])
def test_any_role_but_the_resolver_may_dispute(signer: str) -> None:
    ledger = world()
    contract_id = deploy(ledger)
    dispute(ledger, contract_id, signer)
    assert state(ledger, contract_id).flags == Flags(disputed=True)


def test_dispute_refusals() -> None:
    ledger, contract_id = funded()
    with refused(EscrowError.DisputeResolverCannotDisputeTheEscrow):
        dispute(ledger, contract_id, RESOLVER)
    with refused(EscrowError.UnauthorizedToChangeDisputeFlag):
        dispute(ledger, contract_id, STRANGER)
    dispute(ledger, contract_id)
    with refused(EscrowError.EscrowAlreadyInDispute):
        dispute(ledger, contract_id)
    resolve(ledger, contract_id, {BUYER: 100 * UNIT})
    with refused(EscrowError.EscrowAlreadyResolved):
        dispute(ledger, contract_id)


def test_a_resolver_who_is_also_another_role_cannot_dispute() -> None:
    ledger = world()
    both = escrow(roles=replace(escrow().roles, dispute_resolver=PLATFORM))
    contract_id = deploy(ledger, both)
    with refused(EscrowError.DisputeResolverCannotDisputeTheEscrow):
        dispute(ledger, contract_id, PLATFORM)


def test_resolution_takes_the_fees_from_every_share() -> None:
    ledger, contract_id = funded()
    dispute(ledger, contract_id)
    resolve(ledger, contract_id, {BUYER: 60 * UNIT, SELLER: 40 * UNIT})
    paid = {transfer.recipient: transfer.amount_stroops for transfer in ledger.transfers}
    assert paid == {FEE_ADDRESS: 3_000_000, PLATFORM: 50_000_000, BUYER: 568_200_000, SELLER: 378_800_000}
    assert [transfer.recipient for transfer in ledger.transfers[:2]] == [FEE_ADDRESS, PLATFORM]
    assert ledger.balances[TOKEN, contract_id] == 0
    assert state(ledger, contract_id).flags == Flags(resolved=True)


def test_resolution_refusals() -> None:
    ledger, contract_id = funded()
    whole = {BUYER: 100 * UNIT}
    with refused(EscrowError.EscrowNotInDispute):
        resolve(ledger, contract_id, whole)
    dispute(ledger, contract_id)
    with refused(EscrowError.OnlyDisputeResolverCanExecuteThisFunction):
        resolve(ledger, contract_id, whole, resolver=PLATFORM)
    with refused(EscrowError.DistributionsMustEqualEscrowBalance):
        resolve(ledger, contract_id, {BUYER: 100 * UNIT - 1})
    with refused(EscrowError.InsufficientFundsForResolution):
        resolve(ledger, contract_id, {BUYER: 100 * UNIT + 1})
    with refused(EscrowError.AmountsToBeTransferredShouldBePositive):
        resolve(ledger, contract_id, {BUYER: 100 * UNIT, SELLER: 0})
    with refused(EscrowError.TotalAmountCannotBeZero):
        resolve(ledger, contract_id, {})
    with refused(EscrowError.TooManyDistributions):
        resolve(ledger, contract_id, {address(f"payee{number}"): 1 for number in range(51)})


def test_the_whole_balance_has_to_be_resolved_excess_included() -> None:
    ledger, contract_id = funded()
    fund(ledger, contract_id, 5)
    dispute(ledger, contract_id)
    with refused(EscrowError.DistributionsMustEqualEscrowBalance):
        resolve(ledger, contract_id, {BUYER: 100 * UNIT})
    resolve(ledger, contract_id, {BUYER: 100 * UNIT + 5})
    assert ledger.balances[TOKEN, contract_id] == 0


def test_reading_and_unknown_functions() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    result = run(ledger, ContractCall(BUYER, contract_id, "get_escrow", []))
    assert result.return_value.to_xdr_bytes() == stored(ledger, contract_id).to_xdr_bytes()
    for function, args in (("drain", list[xdr.SCVal]()), ("get_escrow", [scval.to_void()]), ("dispute_escrow", [scval.to_void()])):
        with pytest.raises(ContractFailure) as failure:
            run(ledger, ContractCall(BUYER, contract_id, function, args))
        assert failure.value.code is None


def test_every_error_has_a_text() -> None:
    assert MESSAGES.keys() == {*EscrowError.__members__, *MultiReleaseError.__members__}
