"""Conservation of money through the multi-release escrow: what is funded is paid, fee or still there, to the stroop."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox.contracts.fees import split_fees
from sandbox.contracts.multi_release_record import (
    MilestoneFlags,
    PaidMilestone,
    as_multi_release,
    multi_release_value,
)
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FEE_ADDRESS,
    PLATFORM,
    RECEIVER,
    SELLER,
    STRANGER,
    TOKEN,
    MemoryWorld,
    fund,
    world,
)
from tests.sandbox_trustless.multi_release_calls import approve, deploy, dispute, multi_escrow, release, resolve, withdraw

amounts = st.integers(1, 2**58)
platform_fees = st.integers(0, 9_900)
PAYEES = (BUYER, SELLER, RECEIVER, STRANGER)


def balances(of: MemoryWorld) -> dict[str, int]:
    return {holder: of.balances[TOKEN, holder] for holder in (FEE_ADDRESS, PLATFORM, *PAYEES)}


@settings(max_examples=25, deadline=None)
@given(st.lists(amounts, min_size=1, max_size=6), platform_fees)
def test_releasing_every_milestone_conserves_the_tokens(each: list[int], bps: int) -> None:
    total = sum(each)
    milestones = tuple(PaidMilestone(amount, "m", PAYEES[number % 3 + 1]) for number, amount in enumerate(each))
    ledger = world(buyer=total)
    contract_id = deploy(ledger, multi_escrow(milestones=milestones, platform_fee_bps=bps))
    fund(ledger, contract_id, total)
    for index in range(len(each)):
        approve(ledger, contract_id, index)
        release(ledger, contract_id, index)
    splits = [split_fees(amount, bps) for amount in each]
    assert ledger.total_stroops() == total
    assert ledger.balances[TOKEN, contract_id] == 0
    assert balances(ledger)[FEE_ADDRESS] == sum(split.trustless_work_stroops for split in splits)
    assert balances(ledger)[PLATFORM] == sum(split.platform_stroops for split in splits)


@settings(max_examples=25, deadline=None)
@given(amounts, amounts, st.lists(amounts, min_size=1, max_size=4), platform_fees)
def test_a_resolution_and_a_withdrawal_conserve_the_tokens(rest: int, excess: int, shares: list[int], bps: int) -> None:
    """The first share is also what is withdrawn of the excess, so that one payee bears two floored fees."""
    gross = dict(zip(PAYEES[1:] + PAYEES[:1], shares, strict=False))
    funded = sum(shares) + rest + max(excess, shares[0])
    ledger = world(buyer=funded)
    milestones = (PaidMilestone(sum(shares) + rest, "m", SELLER),)
    contract_id = deploy(ledger, multi_escrow(milestones=milestones, platform_fee_bps=bps))
    fund(ledger, contract_id, funded)
    dispute(ledger, contract_id)
    resolve(ledger, contract_id, gross)
    withdraw(ledger, contract_id, {SELLER: shares[0]})
    splits = [split_fees(amount, bps) for amount in (*shares, shares[0])]
    assert ledger.total_stroops() == funded
    assert ledger.balances[TOKEN, contract_id] == funded - sum(shares) - shares[0]
    assert balances(ledger)[FEE_ADDRESS] == sum(split.trustless_work_stroops for split in splits)
    assert balances(ledger)[PLATFORM] == sum(split.platform_stroops for split in splits)
    for payee, amount in gross.items():
        twice = 2 if payee == SELLER else 1
        assert balances(ledger)[payee] == twice * split_fees(amount, bps).payee_stroops


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(-(2**127), 2**127 - 1), st.tuples(*[st.booleans()] * 4))
def test_records_survive_their_encoding(text: str, amount: int, raised: tuple[bool, bool, bool, bool]) -> None:
    title = text.encode("utf-8", "ignore").decode()
    milestone = PaidMilestone(amount, title, RECEIVER, status=title, evidence=title, flags=MilestoneFlags(*raised))
    record = multi_escrow(title=title, milestones=(milestone,))
    assert as_multi_release(multi_release_value(record)) == record
