"""Memos as the network can carry them, and withdrawal states that nothing leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offerhub.domain import ledger
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.plans import PAY_OUT, OperationKind, intent_id, parse_intent_id, plan
from offerhub.domain.states import WITHDRAWAL_TRANSITIONS, WithdrawalState, check_withdrawal_transition
from offerhub.domain.withdrawals import Memo, MemoType, parse_memo


@pytest.mark.parametrize(
    ("value", "kind", "memo"),
    [
        (None, None, None),
        ("7", None, Memo(MemoType.TEXT, "7")),
        ("ü" * 14, "text", Memo(MemoType.TEXT, "ü" * 14)),
        ("0", "id", Memo(MemoType.ID, "0")),
        (str(2**64 - 1), "id", Memo(MemoType.ID, str(2**64 - 1))),
        ("AB" * 32, "return", Memo(MemoType.RETURN, "ab" * 32)),
    ],
)
def test_memos(value: str | None, kind: str | None, memo: Memo | None) -> None:
    assert parse_memo(value, kind) == memo


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "text"),
        ("", None),
        ("x" * 29, None),
        ("ü" * 15, "text"),
        ("-1", "id"),
        ("01", "id"),
        (" 1", "id"),
        ("1_0", "id"),
        ("١", "id"),  # noqa: RUF001 - an Arabic one, which int() would take
        (str(2**64), "id"),
        ("ab" * 31, "hash"),
        ("0x" + "ab" * 31, "hash"),
    ],
)
def test_memos_the_network_would_not_carry(value: str | None, kind: str | None) -> None:
    with pytest.raises(DomainError) as refused:
        parse_memo(value, kind)
    assert refused.value.code is ErrorCode.VALIDATION_ERROR
    assert refused.value.details["fields"][0]["field"] == "memo"


def test_nothing_leaves_a_final_state_and_nothing_skips_the_hold() -> None:
    for current in WithdrawalState:
        for target in WithdrawalState:
            if target in WITHDRAWAL_TRANSITIONS[current]:
                check_withdrawal_transition(current, target)
                continue
            with pytest.raises(DomainError) as refusal:
                check_withdrawal_transition(current, target)
            assert refusal.value.code is ErrorCode.INVALID_STATE
    assert WITHDRAWAL_TRANSITIONS[WithdrawalState.COMPLETED] == WITHDRAWAL_TRANSITIONS[WithdrawalState.FAILED] == frozenset()
    assert WITHDRAWAL_TRANSITIONS[WithdrawalState.CREATED] == {WithdrawalState.COMMITTED}


def test_a_withdrawal_is_one_intent_for_ever() -> None:
    assert plan(OperationKind.WITHDRAWAL) == (PAY_OUT,)
    assert parse_intent_id(intent_id("op_1", PAY_OUT)) == ("op_1", PAY_OUT)


@pytest.mark.parametrize(
    "spelling",
    [
        *("op_1/again/pay_out", "op_1/pay_out:", "op_1//pay_out", "op_1/pay_out ", "op_1/PAY_OUT", "op_1/", "op_1", ""),
        *(f"op_1/complete_milestone:{index}" for index in ("07", "+7", "\u0667", "1_0", " 7", "x")),
    ],
)
def test_an_intent_has_one_spelling(spelling: str) -> None:
    with pytest.raises(LookupError):
        parse_intent_id(spelling)


@given(st.integers(min_value=1, max_value=2**63 - 1))
def test_the_three_postings_close_the_hold(amount: int) -> None:
    for end in (ledger.withdrawn("wd_1", amount, "hash"), ledger.withdrawal_failed("wd_1", "usr_1", amount)):
        entries = [*ledger.withdraw("wd_1", "usr_1", amount).entries, *end.entries]
        assert sum(entry.amount_stroops for entry in entries if entry.account == ledger.in_transit("wd_1")) == 0
