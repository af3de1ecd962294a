"""The arithmetic of what leaves an escrow: nothing lost, nothing invented, every fee floored."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from hypothesis import given, settings
from hypothesis import strategies as st
from stellar_sdk import scval

from sandbox.contracts.escrow_record import as_escrow, escrow_value
from sandbox.contracts.fees import split_fees
from sandbox.contracts.values import address_value, amounts_value
from sandbox.trustless.envelope import ContractCall
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FEE_ADDRESS,
    PLATFORM,
    RECEIVER,
    RELEASER,
    RESOLVER,
    SELLER,
    TOKEN,
    address,
    deploy,
    escrow,
    fund,
    run,
    world,
)

amounts = st.integers(1, 2**62)
platform_fees = st.integers(0, 9_900)


def test_the_documented_example() -> None:
    split = split_fees(1_000_000_000, 500)
    assert (split.trustless_work_stroops, split.platform_stroops, split.payee_stroops) == (3_000_000, 50_000_000, 947_000_000)


@settings(deadline=None)
@given(amounts, platform_fees)
def test_fees_are_floored_and_the_parts_make_the_whole(amount: int, bps: int) -> None:
    split = split_fees(amount, bps)
    assert split.trustless_work_stroops == floor(Fraction(amount * 30, 10_000))
    assert split.platform_stroops == floor(Fraction(amount * bps, 10_000))
    assert split.trustless_work_stroops + split.platform_stroops + split.payee_stroops == amount
    assert split.payee_stroops >= 0


@settings(max_examples=25, deadline=None)
@given(amounts, platform_fees)
def test_release_conserves_the_tokens(amount: int, bps: int) -> None:
    ledger = world(buyer=amount)
    contract_id = deploy(ledger, escrow(amount_stroops=amount, platform_fee_bps=bps))
    fund(ledger, contract_id, amount)
    run(ledger, ContractCall(BUYER, contract_id, "approve_milestone", [scval.to_uint32(0), address_value(BUYER)]))
    run(ledger, ContractCall(RELEASER, contract_id, "release_funds", [address_value(RELEASER), address_value(FEE_ADDRESS)]))
    split = split_fees(amount, bps)
    assert ledger.total_stroops() == amount
    assert ledger.balances[TOKEN, contract_id] == 0
    assert ledger.balances[TOKEN, FEE_ADDRESS] == split.trustless_work_stroops
    assert ledger.balances[TOKEN, PLATFORM] == split.platform_stroops
    assert ledger.balances[TOKEN, RECEIVER] == split.payee_stroops


@settings(max_examples=25, deadline=None)
@given(st.lists(amounts.map(lambda amount: amount // 60 + 1), min_size=1, max_size=8), platform_fees)
def test_resolution_conserves_the_tokens(shares: list[int], bps: int) -> None:
    total = sum(shares)
    payees = [BUYER, SELLER, RECEIVER, *(address(f"payee{number}") for number in range(5))]
    gross = dict(zip(payees, shares, strict=False))
    ledger = world(buyer=total)
    ledger.balances |= {(TOKEN, payee): 0 for payee in payees[3:]}
    contract_id = deploy(ledger, escrow(platform_fee_bps=bps))
    fund(ledger, contract_id, total)
    run(ledger, ContractCall(BUYER, contract_id, "dispute_escrow", [address_value(BUYER)]))
    args = [address_value(RESOLVER), address_value(FEE_ADDRESS), amounts_value(gross)]
    run(ledger, ContractCall(RESOLVER, contract_id, "resolve_dispute", args))
    assert ledger.total_stroops() == total
    assert ledger.balances[TOKEN, contract_id] == 0
    for payee, amount in gross.items():
        assert ledger.balances[TOKEN, payee] == split_fees(amount, bps).payee_stroops


@settings(deadline=None)
@given(st.text(max_size=40), st.integers(-(2**127), 2**127 - 1), st.integers(0, 2**32 - 1))
def test_records_survive_their_encoding(text: str, amount: int, memo: int) -> None:
    record = escrow(title=text.encode("utf-8", "ignore").decode(), amount_stroops=amount, receiver_memo=memo)
    assert as_escrow(escrow_value(record)) == record
