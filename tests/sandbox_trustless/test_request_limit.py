from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from sandbox.trustless.exact_json import dumps, loads, units
from sandbox.trustless.request_limit import RequestLimit


def test_a_window_admits_its_number_and_then_says_how_long_to_wait() -> None:
    now = [1_000.0]
    limit = RequestLimit(2, lambda: now[0])
    assert [limit.retry_after_s("a") for _ in range(3)] == [None, None, 60]
    assert limit.retry_after_s("b") is None
    now[0] += 59.5
    assert limit.retry_after_s("a") == 1
    now[0] += 0.5
    assert limit.retry_after_s("a") is None
    assert (limit.admitted, limit.refused) == (4, 2)


def test_zero_switches_the_limit_off() -> None:
    limit = RequestLimit(0)
    assert {limit.retry_after_s("a") for _ in range(1_000)} == {None}


@given(st.integers(-(2**63), 2**63))
def test_amounts_survive_json_digit_for_digit(stroops: int) -> None:
    read = loads(dumps({"amount": units(stroops)}).encode())
    assert isinstance(read, dict)
    assert Decimal(read["amount"]) * 10**7 == stroops
