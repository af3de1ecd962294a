"""Amounts of USDC as whole stroops (10⁻⁷ USDC), and their decimal form at the edges. There is no float anywhere."""

from __future__ import annotations

import re
from typing import NewType

from offerhub.domain.errors import DomainError, ErrorCode

Stroops = NewType("Stroops", int)

STROOPS_PER_UNIT = 10_000_000
DECIMALS = 7
USDC = "USDC"
# Trustless Work's API takes amounts as JSON numbers: exact below 2⁵³ stroops (``reference/trustless-work.md`` §8).
MAX_ORDER_STROOPS = Stroops(9_000_000_000_000_000)
_INPUT = re.compile(r"[0-9]{1,12}\.[0-9]{2,7}", re.ASCII)
_CHAIN = re.compile(r"[0-9]{1,12}(\.[0-9]{1,7})?", re.ASCII)


def parse_amount(text: object) -> Stroops:
    """Turn ``"80.00"`` into stroops.

    Accepts exactly 1–12 digits, a point and 2–7 decimals, greater than zero; anything else, numbers included, raises
    ``INVALID_AMOUNT_FORMAT`` (``api.md`` §1).
    """
    if not isinstance(text, str) or not _INPUT.fullmatch(text):
        raise _invalid(text)
    amount_stroops = _to_stroops(text)
    if amount_stroops == 0:
        raise _invalid(text)
    return amount_stroops


def parse_chain_amount(text: str) -> Stroops:
    """Read an amount as Horizon writes it (``"80.0000000"``); zero is allowed."""
    if not _CHAIN.fullmatch(text):
        raise ValueError(f"not an amount of the chain: {text!r}")
    return _to_stroops(text)


def format_amount(amount_stroops: int) -> str:
    """Write stroops with at least two decimals and as many as the value needs, e.g. ``"80.00"``, ``"0.0000001"``."""
    sign = "-" if amount_stroops < 0 else ""
    units, fraction = divmod(abs(amount_stroops), STROOPS_PER_UNIT)
    decimals = f"{fraction:07d}".rstrip("0").ljust(2, "0")
    return f"{sign}{units}.{decimals}"


def parse_currency(text: str) -> str:
    """Only USDC is held; ``USD`` is the older clients' word for it."""
    if text in (USDC, "USD"):
        return USDC
    raise DomainError(ErrorCode.INVALID_CURRENCY, f"Currency {text!r} is not supported; use USDC.", {"currency": text})


def _to_stroops(text: str) -> Stroops:
    units, _, fraction = text.partition(".")
    return Stroops(int(units) * STROOPS_PER_UNIT + int(fraction.ljust(DECIMALS, "0")))


def _invalid(text: object) -> DomainError:
    shown = text if isinstance(text, str | int) else type(text).__name__
    return DomainError(
        ErrorCode.INVALID_AMOUNT_FORMAT,
        'An amount is a decimal string above zero with 2 to 7 decimals, such as "80.00".',
        {"amount": str(shown)[:40]},
    )
