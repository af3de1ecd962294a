"""What ``?dryRun=true`` answers."""

from __future__ import annotations

from typing import Literal

from api.schemas.fields import Amount, Shape


class QuoteShare(Shape):
    """What a party has more where (``available``, ``reserved``, ``escrow``, ``outside``) when all is done."""

    party: Literal["buyer", "seller", "escrow", "destination"]
    user_id: str | None
    account: Literal["available", "reserved", "escrow", "outside"]
    amount: Amount


class QuoteStep(Shape):
    """A transaction on the chain, and whose account signs it."""

    action: str
    signer: str
    milestone_index: int | None


class DryRunQuote(Shape):
    """Nothing was written. Executing the same command now moves exactly these amounts."""

    action: str
    currency: Literal["USDC"]
    gross: Amount
    platform_fee: Amount
    protocol_fee: Amount
    receivers: list[QuoteShare]
    steps: list[QuoteStep]
    expected_seconds: int
