"""Deposits: what the chain brought."""

from __future__ import annotations

from typing import Literal

from api.schemas.answers import PageQuery
from api.schemas.fields import Amount, Id, Shape, Time


class Deposit(Shape):
    """`HELD`: it came to a wallet that no user has yet, and is credited when one gets it."""

    id: str
    user_id: str | None
    status: Literal["CREDITED", "REFUSED", "HELD"]
    reason: str | None
    amount: Amount
    asset: str
    sender: str
    recipient: str
    memo: str | None
    muxed_id: str | None
    transaction_hash: str
    ledger_closed_at: Time
    created_at: Time | None


class DepositQuery(PageQuery):
    prefix = "dep"
    user_id: Id | None = None
    status: Literal["CREDITED", "REFUSED", "HELD"] | None = None
