"""Withdrawals: money on its way out."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, StringConstraints

from api.schemas.answers import PageQuery
from api.schemas.fields import Amount, Body, Description, Id, NullIs, RequestedAmount, RequestedCurrency, Shape, Time
from api.schemas.operations import Operation
from offerhub.domain.states import WithdrawalState
from offerhub.domain.withdrawals import MemoType

Address = Annotated[str, StringConstraints(min_length=1, max_length=80)]
MemoText = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class CreateWithdrawalBody(Body):
    """``stellar`` is another word for ``crypto``. A memo without a type is a text.

    Existing clients may send ``commit``; a crypto withdrawal is committed at once, so only true makes sense.
    """

    user_id: Id
    amount: RequestedAmount
    currency: Annotated[RequestedCurrency, NullIs("USDC")] = "USDC"
    destination_type: Literal["crypto", "stellar"]
    destination_ref: Address = Field(validation_alias=AliasChoices("destinationRef", "destination_ref", "destination"))
    memo: MemoText | None = None
    memo_type: MemoType | None = None
    description: Description | None = None
    commit: Literal[True] | None = None


class WithdrawalQuery(PageQuery):
    prefix = "wd"
    user_id: Id | None = None
    status: WithdrawalState | None = None


class WithdrawalFailure(Shape):
    code: str
    message: str


class Withdrawal(Shape):
    """``transactionHash`` is the chain's inner hash, once the payment is final; ``failure`` says why there is none."""

    id: str
    user_id: str
    amount: Amount
    currency: Literal["USDC"]
    destination_type: Literal["crypto"]
    destination_ref: str
    memo: str | None
    memo_type: MemoType | None
    description: str | None
    status: WithdrawalState
    operation_id: str
    transaction_hash: str | None
    failure: WithdrawalFailure | None
    created_at: Time
    updated_at: Time
    finished_at: Time | None


class BareWithdrawal(Withdrawal):
    """The withdrawal at the top level, as existing clients read it, and under ``data``."""

    success: Literal[True] = True
    data: Withdrawal


class WithdrawalWithOperation(BareWithdrawal):
    operation: Operation
