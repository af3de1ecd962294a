"""Money that moved, read from Horizon's payment records without parsing XDR, so that no protocol upgrade can blind us.

``reference/stellar.md`` §1.6 lists how a reader of payments is fooled; each rule below answers one line of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from offerhub.stellar.horizon_records import Json, MalformedRecord, amount, integer, optional_text, records, text
from offerhub.stellar.network import USDC_CODE

_PAYMENT, _PATH_STRICT_RECEIVE, _PATH_STRICT_SEND, _INVOKE_HOST_FUNCTION = 1, 2, 13, 24
_CLASSIC = frozenset({_PAYMENT, _PATH_STRICT_RECEIVE, _PATH_STRICT_SEND})


@dataclass(frozen=True)
class IncomingPayment:
    """One balance that grew. (``operation_id``, ``index``) is its identity: a transaction or an operation may hold several.

    ``is_usdc`` is false for every other asset, a namesake of another issuer included. ``sender`` is an account or a contract.
    ``kind`` is Horizon's: ``payment``, ``path_payment_…``, or the token event (``transfer``, ``mint``). A memo is informative only.
    """

    operation_id: str
    index: int
    transaction_hash: str
    ledger: int
    recipient: str
    sender: str
    amount_stroops: int
    is_usdc: bool
    kind: str
    memo: str | None
    muxed_id: str | None
    created_at: str


@dataclass(frozen=True)
class Movement:
    sender: str
    recipient: str
    amount_stroops: int


def incoming_payments(record: Json, usdc_issuer: str) -> tuple[IncomingPayment, ...]:
    """Every payment in one record; empty for failed transactions and for records that pay no account."""
    if record.get("transaction_successful") is not True:
        return ()
    return tuple(
        IncomingPayment(
            operation_id=text(record, "id"),
            index=index,
            transaction_hash=text(record, "transaction_hash"),
            # The upper half of an operation's id is its ledger.
            ledger=integer(record, "id") >> 32,
            recipient=text(change, "to"),
            sender=optional_text(change, "from") or _minter(change),
            amount_stroops=amount(change, "amount"),
            is_usdc=_is_usdc(change, usdc_issuer),
            kind=text(change, "type"),
            memo=_memo(record),
            muxed_id=optional_text(change, "to_muxed_id") or optional_text(change, "destination_muxed_id"),
            created_at=text(record, "created_at"),
        )
        for index, change in _changes(record)
        if (optional_text(change, "to") or "").startswith("G")
    )


def escrow_movements(payments: Iterable[Json], usdc_issuer: str, contract_id: str) -> list[Movement]:
    """USDC into and out of one escrow contract, in the order of the ledger: what funding and release are booked from."""
    return [
        Movement(optional_text(change, "from") or usdc_issuer, optional_text(change, "to") or usdc_issuer, amount(change, "amount"))
        for record in payments
        if record.get("transaction_successful") is True
        for _, change in _changes(record)
        if contract_id in (change.get("from"), change.get("to")) and _is_usdc(change, usdc_issuer)
    ]


def _changes(record: Json) -> Iterator[tuple[int, Json]]:
    """The classic payments are one change each (what arrives, not what was sent); a contract call lists its own."""
    kind = integer(record, "type_i")
    if kind in _CLASSIC:
        yield 0, record
    elif kind == _INVOKE_HOST_FUNCTION and record.get("asset_balance_changes") is not None:
        yield from enumerate(records(record, "asset_balance_changes"))


def _is_usdc(change: Json, usdc_issuer: str) -> bool:
    return (change.get("asset_type"), change.get("asset_code"), change.get("asset_issuer")) == ("credit_alphanum4", USDC_CODE, usdc_issuer)


def _minter(change: Json) -> str:
    """A mint has no sender: it comes from the issuer of the asset."""
    return optional_text(change, "asset_issuer") or ""


def _memo(record: Json) -> str | None:
    transaction: Any = record.get("transaction")
    if transaction is None:
        return None
    if not isinstance(transaction, dict):
        raise MalformedRecord("transaction is not an object")
    return optional_text(transaction, "memo")
