"""Fees, ids, states, plans, events: small rules that everything stands on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offerhub.commands.balances import BalanceChange
from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode, LedgerMismatchError
from offerhub.domain.events import CATALOGUE, Event, payload_schema
from offerhub.domain.fees import MAX_PLATFORM_FEE_BPS, pay_out, split_release
from offerhub.domain.ids import compose_id, first_id_at
from offerhub.domain.ledger import Entry, Posting
from offerhub.domain.plans import Action, OperationKind, Party, Step, intent_id, plan
from offerhub.domain.states import ESCROW_TRANSITIONS, ORDER_TRANSITIONS, MilestoneState, OrderState, check_order_transition

OPEN, COMPLETED, APPROVED = MilestoneState.OPEN, MilestoneState.COMPLETED, MilestoneState.APPROVED


def test_the_documented_example_of_fees() -> None:
    split = split_release(1_000_000_000, 500)
    assert (split.protocol_fee_stroops, split.platform_fee_stroops, split.receiver_stroops) == (3_000_000, 50_000_000, 947_000_000)


@given(st.integers(min_value=1, max_value=10**19), st.integers(min_value=0, max_value=MAX_PLATFORM_FEE_BPS))
def test_a_split_loses_nothing_and_books_in_balance(amount: int, fee_bps: int) -> None:
    split = split_release(amount, fee_bps)
    assert split.protocol_fee_stroops + split.platform_fee_stroops + split.receiver_stroops == amount
    assert min(split.protocol_fee_stroops, split.platform_fee_stroops, split.receiver_stroops) >= 0
    parties = ledger.Beneficiaries("esc_1", "usr_1", "usr_2")
    posting = ledger.pay_out(("esc_1", "release"), parties, pay_out(amount, 0, fee_bps), "hash")
    assert sum(entry.amount_stroops for entry in posting.entries) == 0


@given(st.lists(st.integers(min_value=-100, max_value=100), min_size=0, max_size=5))
def test_a_posting_exists_only_in_balance(amounts: list[int]) -> None:
    entries = tuple(Entry(f"account:{place}", amount) for place, amount in enumerate(amounts))
    sound = len(amounts) >= 2 and sum(amounts) == 0 and 0 not in amounts
    if sound:
        assert Posting("reference", "kind", entries).entries == entries
    else:
        with pytest.raises(LedgerMismatchError):
            Posting("reference", "kind", entries)


@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10), st.binary(min_size=10, max_size=10))
def test_ids_sort_by_time(first_ms: int, second_ms: int, one: bytes, other: bytes) -> None:
    first, second = compose_id("ord", first_ms, one), compose_id("ord", second_ms, other)
    assert len(first) == len("ord_") + 26
    if first_ms != second_ms:
        assert (first < second) == (first_ms < second_ms)
    assert first_id_at("ord", first_ms) <= first
    assert (first_id_at("ord", second_ms) <= first) == (second_ms <= first_ms)
    assert first_id_at("ord", -first_ms - 1) == first_id_at("ord", 0)
    assert first_id_at("ord", 2**48 + first_ms) == first_id_at("ord", 2**48 - 1)


def test_a_release_plan_holds_only_what_the_contract_does_not_record_yet() -> None:
    steps = plan(OperationKind.RELEASE, [APPROVED, COMPLETED, OPEN])
    assert steps == (
        Step(Action.APPROVE_MILESTONE, Party.BUYER, 1),
        Step(Action.COMPLETE_MILESTONE, Party.SELLER, 2),
        Step(Action.APPROVE_MILESTONE, Party.BUYER, 2),
        Step(Action.RELEASE, Party.BUYER),
    )


def test_every_step_of_a_plan_is_an_intent_of_its_own() -> None:
    steps = plan(OperationKind.RELEASE, [OPEN] * 5)
    assert len({intent_id("op_1", step) for step in steps}) == len(steps) == 11


def test_every_refused_transition_says_where_we_are_and_where_it_would_be_allowed() -> None:
    for current in OrderState:
        for target in OrderState:
            if target in ORDER_TRANSITIONS[current]:
                check_order_transition(current, target)
                continue
            with pytest.raises(DomainError) as refusal:
                check_order_transition(current, target)
            assert refusal.value.code is ErrorCode.INVALID_STATE
            assert refusal.value.details["currentState"] == current
            assert all(target in ORDER_TRANSITIONS[OrderState(name)] for name in refusal.value.details["allowedStates"])


def test_every_state_is_reached_and_only_the_last_is_final() -> None:
    for transitions, first in ((ORDER_TRANSITIONS, "ORDER_CREATED"), (ESCROW_TRANSITIONS, "CREATING")):
        reached = {target for targets in transitions.values() for target in targets} | {first}
        assert reached == set(transitions)
    assert [state for state, targets in ORDER_TRANSITIONS.items() if not targets] == [OrderState.CLOSED]


def test_an_event_carries_what_its_catalogue_entry_says_and_nothing_else() -> None:
    with pytest.raises(ValueError, match="missing"):
        Event("user.created", "usr_1", {"userId": "usr_1"})
    with pytest.raises(ValueError, match="unknown"):
        Event("api_key.created", "key_1", {"keyId": "key_1", "name": "n", "secret": "s"})
    assert all(payload_schema(name)["required"] == list(kind.required) for name, kind in CATALOGUE.items())


def test_a_balance_event_names_a_documented_source() -> None:
    with pytest.raises(ValueError, match="gift"):
        BalanceChange("balance.credited", "usr_1", 1, "gift")
