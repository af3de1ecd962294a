"""Payments the chain reported, reduced to what our books need of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True)
class IncomingPayment:
    """One balance change of one operation, towards an account; (``chain_operation``, ``change_index``) is its identity.

    ``asset`` is ``USDC`` only for the exact issuer of the settings, else ``CODE:ISSUER`` or ``XLM``. ``sender`` is an account or a
    contract. Memo and ``muxed_id`` are informative only: the wallet alone says who is credited.
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
    muxed_id: str | None = None


@dataclass(frozen=True)
class WalletMovement:
    """USDC that entered (above zero) or left one account; ``hashes`` are the transaction's, outer and inner."""

    chain_operation: str
    hashes: tuple[str, ...]
    counterparty: str
    amount_stroops: int


@dataclass(frozen=True)
class Anchor:
    """A ledger a stream was seen to be part of. A chain with another hash at this number is another chain."""

    ledger: int
    hash: str


def ledger_of(paging_token: str) -> int:
    """The upper half of an operation's id is its ledger."""
    return int(paging_token) >> 32
