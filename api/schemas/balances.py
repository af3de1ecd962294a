"""Balances: now, at a moment, explained; and statements of a period."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, model_validator

from api.schemas.fields import Amount, Body, RequestedTime, Shape, Time

SignedAmount = Annotated[str, StringConstraints(pattern=r"^-?\d+\.\d{2,7}$"), Field(examples=["-80.00"])]


class BalanceFigures(Shape):
    available: Amount
    reserved: Amount
    in_escrow: Amount
    in_transit: Amount
    total: Amount
    currency: Literal["USDC"]


class BookedPosting(Shape):
    """One posting of the ledger, seen from one user. ``counterparty`` is another user's id, or an address on the network.

    ``transactionHash`` is the evidence on the chain (the inner hash); postings that move nothing there have none.
    """

    id: str
    kind: str
    reference: str
    order_id: str | None
    client_order_ref: str | None
    counterparty: str | None
    transaction_hash: str | None
    booked_at: Time


class ExplainedEntry(BookedPosting):
    amount: SignedAmount


class FigureExplanation(Shape):
    """``earlierAmount`` plus the amounts of ``entries`` is the figure. Only the newest entries are listed; a statement has all of them."""

    amount: Amount
    earlier_entries: int
    earlier_amount: SignedAmount
    entries: list[ExplainedEntry]


class BalanceExplanation(Shape):
    """Escrows and withdrawals that hold nothing any more are left out."""

    available: FigureExplanation
    reserved: FigureExplanation
    in_escrow: FigureExplanation
    in_transit: FigureExplanation


class Balance(BalanceFigures):
    """``at`` only with ``?at=``, ``explanation`` only with ``?explain=1``. ``updatedAt`` is null when nothing had been booked yet."""

    user_id: str
    updated_at: Time | None
    at: Time | None = None
    explanation: BalanceExplanation | None = None


class BareBalance(Balance):
    """The balance at the top level, as existing clients read it, and under ``data``."""

    success: Literal[True] = True
    data: Balance


class BalanceQuery(Body):
    """``at``: the balance at that moment, everything of its millisecond included."""

    at: RequestedTime | None = None
    explain: bool = False


class StatementChange(Shape):
    available: SignedAmount
    reserved: SignedAmount
    in_escrow: SignedAmount
    in_transit: SignedAmount
    total: SignedAmount


class StatementEntry(BookedPosting):
    """``change`` is what the posting moved, ``balance`` what it left."""

    change: StatementChange
    balance: BalanceFigures


class Statement(Shape):
    """``opening`` plus every ``change`` is ``closing``, to the stroop. ``from`` is included, ``to`` is not."""

    user_id: str
    start: Annotated[Time | None, Field(alias="from")]
    until: Annotated[Time, Field(alias="to")]
    opening: BalanceFigures
    entries: list[StatementEntry]
    closing: BalanceFigures


class StatementQuery(Body):
    """``from`` is included, ``to`` is not; without them from the beginning, until now. ``format`` wins over ``Accept``."""

    start: Annotated[RequestedTime | None, Field(alias="from")] = None
    until: Annotated[RequestedTime | None, Field(alias="to")] = None
    format: Literal["json", "csv"] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> StatementQuery:
        if self.start and self.until and self.start > self.until:
            raise ValueError("from must not be after to")
        return self
