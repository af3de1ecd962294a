"""Money that moved, read from Horizon's payment records without parsing XDR, so that no protocol upgrade can blind us.

``reference/stellar.md`` §1.6 lists how a reader of payments is fooled; each rule below answers one line of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from offerhub.domain.messages import Movement
from offerhub.domain.money import USDC
from offerhub.domain.payments import IncomingPayment, WalletMovement
from offerhub.stellar.horizon_records import Json, MalformedRecord, amount, integer, moment, optional_text, records, text
from offerhub.stellar.network import USDC_CODE

_PAYMENT, _PATH_STRICT_RECEIVE, _PATH_STRICT_SEND, _INVOKE_HOST_FUNCTION = 1, 2, 13, 24
_CLASSIC = frozenset({_PAYMENT, _PATH_STRICT_RECEIVE, _PATH_STRICT_SEND})


def incoming_payments(record: Json, usdc_issuer: str) -> tuple[IncomingPayment, ...]:
    """Every payment in one record; empty for failed transactions and for records that pay no account.

    The asset contract lets anybody transfer nothing to anybody: a change of zero is no payment.
    """
    if record.get("transaction_successful") is not True:
        return ()
    return tuple(
        IncomingPayment(
            chain_operation=text(record, "id"),
            change_index=index,
            transaction_hash=text(record, "transaction_hash"),
            sender=optional_text(change, "from") or _minter(change),
            recipient=text(change, "to"),
            amount_stroops=amount(change, "amount"),
            asset=_asset(change, usdc_issuer),
            closed_at=moment(record, "created_at"),
            memo=_memo(record),
            muxed_id=optional_text(change, "to_muxed_id") or optional_text(change, "destination_muxed_id"),
        )
        for index, change in _changes(record)
        if (optional_text(change, "to") or "").startswith("G") and amount(change, "amount") > 0
    )


def wallet_movements(record: Json, usdc_issuer: str, address: str) -> list[WalletMovement]:
    """USDC into and out of one account: the account's own history, for comparing it with the books."""
    if record.get("transaction_successful") is not True:
        return []
    found: list[WalletMovement] = []
    for _, change in _changes(record):
        sender, recipient = optional_text(change, "from") or _minter(change), optional_text(change, "to") or usdc_issuer
        if recipient == address and _is_usdc(change, usdc_issuer):
            found.append(WalletMovement(text(record, "id"), _hashes(record), sender, amount(change, "amount")))
        if sender == address and _is_usdc(_sent(change), usdc_issuer):
            found.append(WalletMovement(text(record, "id"), _hashes(record), recipient, -amount(_sent(change), "amount")))
    return found


def movements_of(payments: Iterable[Json], usdc_issuer: str, party: str) -> list[Movement]:
    """USDC into and out of an escrow contract or a wallet, in the order of the ledger: what every operation is booked from."""
    return [
        Movement(optional_text(change, "from") or usdc_issuer, optional_text(change, "to") or usdc_issuer, amount(change, "amount"))
        for record in payments
        if record.get("transaction_successful") is True
        for _, change in _changes(record)
        if party in (change.get("from"), change.get("to")) and _is_usdc(change, usdc_issuer)
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


def _asset(change: Json, usdc_issuer: str) -> str:
    if _is_usdc(change, usdc_issuer):
        return USDC
    if change.get("asset_type") == "native":
        return "XLM"
    return _storable(f"{change.get('asset_code')}:{change.get('asset_issuer')}")


def _sent(change: Json) -> Json:
    """The sender's side, which differs from the receiver's in a path payment."""
    if "source_amount" not in change:
        return change
    return {name.removeprefix("source_"): value for name, value in change.items() if name.startswith("source_")}


def _hashes(record: Json) -> tuple[str, ...]:
    transaction = record.get("transaction")
    inner = transaction.get("inner_transaction") if isinstance(transaction, dict) else None
    inner_hash = optional_text(inner, "hash") if isinstance(inner, dict) else None
    outer_hash = text(record, "transaction_hash")
    return (outer_hash, inner_hash) if inner_hash else (outer_hash,)


def _memo(record: Json) -> str | None:
    transaction: Any = record.get("transaction")
    if transaction is None:
        return None
    if not isinstance(transaction, dict):
        raise MalformedRecord("transaction is not an object")
    memo = optional_text(transaction, "memo")
    return None if memo is None else _storable(memo)


def _storable(said: str) -> str:
    """A stranger chooses these bytes: what no database column takes must not stop the reader."""
    return said.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
