"""A payment the chain reported, reduced to what crediting it needs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class IncomingPayment:
    """One balance change of one operation, towards an account.

    ``asset`` is ``USDC`` only for the exact issuer of the settings, else ``CODE:ISSUER`` or ``XLM``.
    """

    chain_operation: str
    change_index: int
    transaction_hash: str
    sender: str
    recipient: str
    amount_stroops: int
    asset: str
    closed_at: datetime
    memo: str | None = None
