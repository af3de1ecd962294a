"""Corrections of the books by hand."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, StringConstraints

from api.schemas.balances import BalanceFigures
from api.schemas.fields import Amount, Body, Id, RequestedAmount, Shape, Time, check_blank

_Text = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(check_blank)]
_TransactionHash = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class AdjustBody(Body):
    """``evidence`` is what another person would look at: a finding, a ticket. ``transactionHash`` where the chain has one."""

    user_id: Id
    direction: Literal["CREDIT", "DEBIT"]
    amount: RequestedAmount
    reason: _Text
    evidence: _Text
    transaction_hash: _TransactionHash | None = None


class Adjustment(Shape):
    """``balance`` is the user's afterwards."""

    id: str
    user_id: str
    direction: Literal["CREDIT", "DEBIT"]
    amount: Amount
    reason: str
    evidence: str
    transaction_hash: str | None
    requested_by: str
    created_at: Time
    balance: BalanceFigures
