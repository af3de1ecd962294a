from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount, parse_amount, parse_chain_amount, parse_currency


@pytest.mark.parametrize(
    ("text", "stroops"),
    [("80.00", 800_000_000), ("0.0000001", 1), ("0.01", 100_000), ("999999999999.9999999", 10**19 - 1), ("00.10", 1_000_000)],
)
def test_an_amount_is_a_decimal_string_with_two_to_seven_places(text: str, stroops: int) -> None:
    assert parse_amount(text) == stroops


@pytest.mark.parametrize(
    "text",
    ["100", "100.5", 100.00, 100, "1e3", " 5.00", "5.00 ", "5.00\n", "-5.00", "+5.00", "0.00", "0.0000000", "1.00000000", "1,00", "", None,
     "1234567890123.00", "\u0665.\u0660\u0660", "NaN", ["5.00"], True],
)  # fmt: skip
def test_everything_else_is_refused_with_one_code(text: object) -> None:
    with pytest.raises(DomainError) as refusal:
        parse_amount(text)
    assert refusal.value.code is ErrorCode.INVALID_AMOUNT_FORMAT


@given(st.integers(min_value=1, max_value=10**18))
def test_what_is_written_reads_back_to_the_stroop(stroops: int) -> None:
    assert parse_amount(format_amount(stroops)) == stroops
    assert parse_chain_amount(f"{stroops // 10**7}.{stroops % 10**7:07d}") == stroops


@pytest.mark.parametrize(
    ("stroops", "text"), [(0, "0.00"), (1, "0.0000001"), (1_000_000, "0.10"), (123_456_789, "12.3456789"), (-5, "-0.0000005")]
)
def test_output_has_two_decimals_at_least_and_no_more_than_needed(stroops: int, text: str) -> None:
    assert format_amount(stroops) == text


def test_usd_is_a_synonym_and_nothing_else_is_held() -> None:
    assert parse_currency("USD") == parse_currency("USDC") == "USDC"
    with pytest.raises(DomainError) as refusal:
        parse_currency("EUR")
    assert refusal.value.code is ErrorCode.INVALID_CURRENCY
