"""Every rule of the multi-release escrow, against an in-memory world."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from stellar_sdk import scval, xdr

from sandbox.contracts.errors import MultiReleaseError
from sandbox.contracts.factory import DEPLOY_FUNCTION, escrow_contract_id
from sandbox.contracts.interface import ContractFailure, ContractInstance, Transfer
from sandbox.contracts.multi_release_record import MilestoneFlags, MultiReleaseEscrow
from sandbox.contracts.records import as_record
from sandbox.contracts.values import address_value, as_address
from sandbox.trustless.envelope import ContractCall
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FACTORY,
    FEE_ADDRESS,
    PASSPHRASE,
    PLATFORM,
    RECEIVER,
    RELEASER,
    RESOLVER,
    SALT,
    SELLER,
    STRANGER,
    TOKEN,
    UNIT,
    MemoryWorld,
    address,
    escrow,
    fund,
    fund_call,
    run,
    stored,
    world,
)
from tests.sandbox_trustless.memory_world import deploy_call as single_deploy_call
from tests.sandbox_trustless.multi_release_calls import (
    FINAL,
    MULTI_WASM_HASH,
    SKETCH,
    approve,
    deploy,
    deploy_call,
    dispute,
    funded,
    multi_escrow,
    release,
    resolve,
    set_status,
    state,
    withdraw,
)


@contextmanager
def refused(error: MultiReleaseError) -> Iterator[None]:
    """The call fails with exactly this error; numbers and names are those of the newest build."""
    with pytest.raises(ContractFailure) as failure:
        yield
    assert (failure.value.name, failure.value.code) == (error.name, error.value)


def flags(of: MemoryWorld, contract_id: str) -> list[MilestoneFlags]:
    return [milestone.flags for milestone in state(of, contract_id).milestones]


def field_names(struct: xdr.SCVal) -> list[str]:
    return [scval.from_symbol(key) for key in scval.from_map(struct)]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"platform_fee_bps": 9_901}, MultiReleaseError.PlatformFeeTooHigh),
        ({"milestones": ()}, MultiReleaseError.NoMileStoneDefined),
        ({"milestones": (SKETCH,) * 51}, MultiReleaseError.TooManyMilestones),
        ({"milestones": (SKETCH, replace(FINAL, amount_stroops=0))}, MultiReleaseError.AmountCannotBeZero),
        ({"milestones": (replace(SKETCH, amount_stroops=-1), FINAL)}, MultiReleaseError.AmountCannotBeZero),
        *(
            ({"milestones": (SKETCH, replace(FINAL, flags=MilestoneFlags(**{flag: True})))}, MultiReleaseError.FlagsMustBeFalse)
            for flag in ("approved", "disputed", "released", "resolved")
        ),
    ],
)
def test_initialisation_refuses(changes: dict[str, object], error: MultiReleaseError) -> None:
    ledger = world()
    with refused(error):
        deploy(ledger, multi_escrow(**changes))
    assert ledger.contracts == {}


@pytest.mark.parametrize("changes", [{"platform_fee_bps": 9_900}, {"platform_fee_bps": 0}, {"milestones": (SKETCH,) * 50}])
def test_initialisation_accepts_the_limits(changes: dict[str, object]) -> None:
    ledger = world()
    assert state(ledger, deploy(ledger, multi_escrow(**changes))) == multi_escrow(**changes)


def test_an_address_that_was_paid_beforehand_cannot_become_an_escrow() -> None:
    ledger = world()
    ledger.balances[TOKEN, escrow_contract_id(PASSPHRASE, FACTORY, SALT)] = 1
    with refused(MultiReleaseError.EscrowBalanceMustBeZeroOnInitialization):
        deploy(ledger)


def test_second_initialisation_is_refused() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    with refused(MultiReleaseError.EscrowAlreadyInitialized):
        run(ledger, ContractCall(BUYER, contract_id, "initialize_escrow", [stored(ledger, contract_id)]))


def test_a_contract_without_a_record_finds_no_escrow() -> None:
    contract_id = escrow_contract_id(PASSPHRASE, FACTORY, SALT)
    ledger = world()
    ledger.contracts[contract_id] = ContractInstance(contract_id, MULTI_WASM_HASH)
    with refused(MultiReleaseError.EscrowNotFound):
        approve(ledger, contract_id)


def test_the_factory_takes_each_code_by_its_own_function_only() -> None:
    ledger = world()
    with pytest.raises(ContractFailure, match="MissingValue"):
        run(ledger, deploy_call(multi_escrow(), function=DEPLOY_FUNCTION))
    with pytest.raises(ContractFailure, match="MissingValue"):
        run(ledger, replace(single_deploy_call(escrow()), function=deploy_call(multi_escrow()).function))
    result = run(ledger, deploy_call(multi_escrow()))
    contract_id, initialised = scval.from_vec(result.return_value)
    assert as_address(contract_id) == escrow_contract_id(PASSPHRASE, FACTORY, SALT)
    assert initialised == stored(ledger, as_address(contract_id))
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_init"]


def test_the_record_has_the_documented_fields_in_order() -> None:
    ledger = world()
    record = stored(ledger, deploy(ledger))
    assert field_names(record) == [
        "description", "engagement_id", "milestones", "platform_fee", "receiver_memo", "roles", "title", "trustline",
    ]  # fmt: skip
    milestone = scval.from_vec(scval.from_map(record)[scval.to_symbol("milestones")])[0]
    assert field_names(milestone) == ["amount", "description", "evidence", "flags", "receiver", "status"]
    assert field_names(scval.from_map(milestone)[scval.to_symbol("flags")]) == ["approved", "disputed", "released", "resolved"]
    assert isinstance(as_record(record), MultiReleaseEscrow)


def test_funding_moves_tokens_and_its_refusals() -> None:
    ledger = world(buyer=10)
    contract_id = deploy(ledger)
    built = fund_call(contract_id, stored(ledger, contract_id), 4)
    for amount in (0, -1):
        with refused(MultiReleaseError.AmountCannotBeZero):
            fund(ledger, contract_id, amount)
    with refused(MultiReleaseError.InsufficientFundsForEscrowFunding):
        fund(ledger, contract_id, 11)
    result = run(ledger, built)
    assert ledger.transfers == [Transfer(TOKEN, BUYER, contract_id, 4)]
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_fund"]
    set_status(ledger, contract_id, index=1)
    with refused(MultiReleaseError.EscrowPropertiesMismatch):
        run(ledger, built)


def test_status_changes_one_milestone() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    set_status(ledger, contract_id, "delivered", index=1, evidence="https://x")
    result = set_status(ledger, contract_id, "delivered again", index=1, evidence=None)
    assert state(ledger, contract_id).milestones == (SKETCH, replace(FINAL, status="delivered again", evidence="https://x"))
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_ms_change"]
    with refused(MultiReleaseError.OnlyServiceProviderChangeMilstoneStatus):
        set_status(ledger, contract_id, provider=BUYER)
    with refused(MultiReleaseError.MilestoneToUpdateDoesNotExist):
        set_status(ledger, contract_id, index=2)
    with refused(MultiReleaseError.EmptyMilestoneStatus):
        set_status(ledger, contract_id, status="")


def test_approval_and_its_refusals() -> None:
    ledger = world()
    contract_id = deploy(ledger, multi_escrow(milestones=(SKETCH, replace(FINAL, status=""))))
    with refused(MultiReleaseError.OnlyApproverChangeMilstoneFlag):
        approve(ledger, contract_id, approver=SELLER)
    with refused(MultiReleaseError.MilestoneToApproveDoesNotExist):
        approve(ledger, contract_id, index=2)
    with refused(MultiReleaseError.EmptyMilestoneStatus):
        approve(ledger, contract_id, index=1)
    dispute(ledger, contract_id)
    result = approve(ledger, contract_id)
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_ms_approve"]
    with refused(MultiReleaseError.MilestoneHasAlreadyBeenApproved):
        approve(ledger, contract_id)
    assert flags(ledger, contract_id) == [MilestoneFlags(approved=True, disputed=True), MilestoneFlags()]


def test_release_pays_one_milestone_in_the_order_of_the_source() -> None:
    ledger, contract_id = funded()
    approve(ledger, contract_id, 1)
    result = release(ledger, contract_id, 1)
    assert ledger.transfers == [
        Transfer(TOKEN, contract_id, FEE_ADDRESS, 1_200_000),
        Transfer(TOKEN, contract_id, PLATFORM, 20_000_000),
        Transfer(TOKEN, contract_id, SELLER, 378_800_000),
    ]
    assert ledger.balances[TOKEN, contract_id] == 60 * UNIT
    assert flags(ledger, contract_id) == [MilestoneFlags(), MilestoneFlags(approved=True, released=True)]
    assert [(scval.from_symbol(topics[0]), as_address(data)) for topics, data in result.events] == [("tw_release", RELEASER)]


def test_release_refusals_in_their_order() -> None:
    ledger, contract_id = funded()
    with refused(MultiReleaseError.MilestoneNotFound):
        release(ledger, contract_id, 2)
    with refused(MultiReleaseError.OnlyReleaseSignerCanReleaseEarnings):
        release(ledger, contract_id, signer=BUYER)
    approve(ledger, contract_id, 1)
    with refused(MultiReleaseError.MilestoneNotCompleted):
        release(ledger, contract_id, 0)
    approve(ledger, contract_id)
    dispute(ledger, contract_id)
    with refused(MultiReleaseError.MilestoneOpenedForDisputeResolution):
        release(ledger, contract_id)
    resolve(ledger, contract_id, {BUYER: 60 * UNIT})
    with refused(MultiReleaseError.EscrowAlreadyResolved):
        release(ledger, contract_id)
    release(ledger, contract_id, 1)
    with refused(MultiReleaseError.MilestoneAlreadyReleased):
        release(ledger, contract_id, 1)


def test_a_milestone_takes_what_was_funded_for_another() -> None:
    ledger, contract_id = funded(amount_stroops=60 * UNIT)
    for index in (0, 1):
        approve(ledger, contract_id, index)
    release(ledger, contract_id, 1)
    with refused(MultiReleaseError.EscrowBalanceNotEnoughToSendEarnings):
        release(ledger, contract_id, 0)
    assert not flags(ledger, contract_id)[0].released
    assert ledger.balances[TOKEN, contract_id] == 20 * UNIT


def test_release_to_a_receiver_without_trustline_changes_nothing() -> None:
    ledger, contract_id = funded()
    approve(ledger, contract_id)
    del ledger.balances[TOKEN, RECEIVER]
    with pytest.raises(ContractFailure, match="TrustlineMissingError"):
        release(ledger, contract_id)
    assert flags(ledger, contract_id)[0] == MilestoneFlags(approved=True)


@pytest.mark.parametrize("signer", [BUYER, SELLER, PLATFORM, RELEASER, RECEIVER])
def test_any_role_but_the_resolver_may_dispute(signer: str) -> None:
    ledger = world()
    contract_id = deploy(ledger)
    result = dispute(ledger, contract_id, 0, signer)
    assert flags(ledger, contract_id) == [MilestoneFlags(disputed=True), MilestoneFlags()]
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_dispute"]


def test_dispute_refusals() -> None:
    ledger, contract_id = funded()
    with refused(MultiReleaseError.InvalidMileStoneIndex):
        dispute(ledger, contract_id, 2)
    with refused(MultiReleaseError.DisputeResolverCannotDisputeTheMilestone):
        dispute(ledger, contract_id, 0, RESOLVER)
    with refused(MultiReleaseError.UnauthorizedToChangeDisputeFlag):
        dispute(ledger, contract_id, 0, STRANGER)
    with refused(MultiReleaseError.UnauthorizedToChangeDisputeFlag):
        dispute(ledger, contract_id, 1, RECEIVER)
    dispute(ledger, contract_id)
    with refused(MultiReleaseError.MilestoneAlreadyInDispute):
        dispute(ledger, contract_id)
    resolve(ledger, contract_id, {BUYER: 60 * UNIT})
    with refused(MultiReleaseError.MilestoneAlreadyResolved):
        dispute(ledger, contract_id)
    approve(ledger, contract_id, 1)
    release(ledger, contract_id, 1)
    with refused(MultiReleaseError.MilestoneAlreadyReleased):
        dispute(ledger, contract_id, 1)


def test_a_resolution_pays_shares_less_fees_and_names_the_milestone_resolved() -> None:
    ledger, contract_id = funded()
    dispute(ledger, contract_id)
    result = resolve(ledger, contract_id, {BUYER: 40 * UNIT, SELLER: 20 * UNIT})
    paid = {transfer.recipient: transfer.amount_stroops for transfer in ledger.transfers}
    assert paid == {FEE_ADDRESS: 1_800_000, PLATFORM: 30_000_000, BUYER: 378_800_000, SELLER: 189_400_000}
    assert [transfer.recipient for transfer in ledger.transfers[:2]] == [FEE_ADDRESS, PLATFORM]
    assert ledger.balances[TOKEN, contract_id] == 40 * UNIT
    assert state(ledger, contract_id).milestones == (replace(SKETCH, status="resolved", flags=MilestoneFlags(resolved=True)), FINAL)
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_disp_resolve"]


def test_resolution_refusals() -> None:
    ledger, contract_id = funded()
    whole = {BUYER: 60 * UNIT}
    with refused(MultiReleaseError.MilestoneNotInDispute):
        resolve(ledger, contract_id, whole)
    dispute(ledger, contract_id)
    with refused(MultiReleaseError.OnlyDisputeResolverCanExecuteThisFunction):
        resolve(ledger, contract_id, whole, resolver=PLATFORM)
    with refused(MultiReleaseError.InvalidMileStoneIndex):
        resolve(ledger, contract_id, whole, index=2)
    with refused(MultiReleaseError.TotalDisputeFundsMustNotExceedTheMilestoneAmount):
        resolve(ledger, contract_id, {BUYER: 60 * UNIT, SELLER: 1})
    for amount in (0, -1):
        with refused(MultiReleaseError.AmountsToBeTransferredShouldBePositive):
            resolve(ledger, contract_id, whole | {SELLER: amount})
    with refused(MultiReleaseError.TotalAmountCannotBeZero):
        resolve(ledger, contract_id, {})
    with refused(MultiReleaseError.TooManyDistributions):
        resolve(ledger, contract_id, {address(f"payee{number}"): 1 for number in range(51)})
    resolve(ledger, contract_id, whole)
    with refused(MultiReleaseError.MilestoneAlreadyResolved):
        resolve(ledger, contract_id, whole)
    approve(ledger, contract_id, 1)
    release(ledger, contract_id, 1)
    with refused(MultiReleaseError.MilestoneAlreadyReleased):
        resolve(ledger, contract_id, whole, index=1)


def test_a_resolution_cannot_pay_more_than_there_is() -> None:
    ledger, contract_id = funded(amount_stroops=10)
    dispute(ledger, contract_id)
    with refused(MultiReleaseError.InsufficientFundsForResolution):
        resolve(ledger, contract_id, {BUYER: 11})
    resolve(ledger, contract_id, {BUYER: 3})
    assert ledger.balances[TOKEN, contract_id] == 7


def test_remaining_funds_leave_once_every_milestone_has_ended_or_is_disputed() -> None:
    ledger, contract_id = funded(amount_stroops=130 * UNIT)
    approve(ledger, contract_id, 1)
    release(ledger, contract_id, 1)
    with refused(MultiReleaseError.EscrowNotFullyProcessed):
        withdraw(ledger, contract_id, {BUYER: UNIT})
    dispute(ledger, contract_id, 0)
    ledger.transfers.clear()
    before = state(ledger, contract_id)
    result = withdraw(ledger, contract_id, {BUYER: 10 * UNIT, RECEIVER: 20 * UNIT})
    paid = {transfer.recipient: transfer.amount_stroops for transfer in ledger.transfers}
    assert paid == {FEE_ADDRESS: 900_000, PLATFORM: 15_000_000, BUYER: 94_700_000, RECEIVER: 189_400_000}
    assert ledger.balances[TOKEN, contract_id] == 60 * UNIT
    assert state(ledger, contract_id) == before
    assert [scval.from_symbol(topics[0]) for topics, _ in result.events] == ["tw_withdraw"]


def test_withdrawal_refusals() -> None:
    ledger, contract_id = funded(multi_escrow(milestones=(SKETCH,)))
    dispute(ledger, contract_id)
    with refused(MultiReleaseError.OnlyDisputeResolverCanExecuteThisFunction):
        withdraw(ledger, contract_id, {BUYER: 1}, resolver=PLATFORM)
    with refused(MultiReleaseError.AmountsToBeTransferredShouldBePositive):
        withdraw(ledger, contract_id, {BUYER: 0})
    with refused(MultiReleaseError.TotalAmountCannotBeZero):
        withdraw(ledger, contract_id, {})
    with refused(MultiReleaseError.InsufficientFundsForResolution):
        withdraw(ledger, contract_id, {BUYER: 100 * UNIT + 1})
    with refused(MultiReleaseError.TooManyDistributions):
        withdraw(ledger, contract_id, {address(f"payee{number}"): 1 for number in range(51)})


def test_every_call_needs_its_callers_word() -> None:
    ledger, contract_id = funded()
    one, fee = scval.to_uint32(0), address_value(FEE_ADDRESS)
    nobody = scval.to_map({})
    calls = {
        "fund_escrow": [address_value(BUYER), stored(ledger, contract_id), scval.to_int128(1)],
        "change_milestone_status": [one, scval.to_string("x"), scval.to_void(), address_value(SELLER)],
        "approve_milestone": [one, address_value(BUYER)],
        "release_milestone_funds": [address_value(RELEASER), fee, one],
        "dispute_milestone": [one, address_value(BUYER)],
        "resolve_milestone_dispute": [address_value(RESOLVER), one, fee, nobody],
        "withdraw_remaining_funds": [address_value(RESOLVER), fee, nobody],
    }
    for function, args in calls.items():
        with pytest.raises(ContractFailure, match="InvalidAction"):
            run(ledger, ContractCall(STRANGER, contract_id, function, args))


def test_reading_and_the_other_contracts_functions() -> None:
    ledger = world()
    contract_id = deploy(ledger)
    result = run(ledger, ContractCall(BUYER, contract_id, "get_escrow", []))
    assert result.return_value == stored(ledger, contract_id)
    for function in ("release_funds", "dispute_escrow", "resolve_dispute"):
        with pytest.raises(ContractFailure, match="MissingValue"):
            run(ledger, ContractCall(BUYER, contract_id, function, [address_value(BUYER)]))
