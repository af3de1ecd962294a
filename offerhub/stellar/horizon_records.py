"""Typed views of Horizon's JSON. A body that does not have the promised shape is ``MalformedRecord``, never an ``AttributeError``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from offerhub.domain.money import parse_chain_amount
from offerhub.stellar.network import USDC_CODE

Json = Mapping[str, Any]
# SEP-29: a data entry of the account, "1" in base64.
_MEMO_REQUIRED, _YES = "config.memo_required", "MQ=="


class MalformedRecord(Exception):
    """Horizon's answer lacks a promised field or carries another type in it."""


@dataclass(frozen=True)
class RootRecord:
    """``elder_ledger``: what is older than this has no history here. ``history_ledger``: the last ledger that can be asked about."""

    network_passphrase: str
    history_ledger: int
    elder_ledger: int
    core_ledger: int


@dataclass(frozen=True)
class AccountRecord:
    """``usdc_stroops`` is None without the trustline; ``usdc_authorized`` turns false when the issuer freezes it.

    ``usdc_room_stroops`` is what the trustline takes in addition. ``memo_required`` is what SEP-29 has exchanges say.
    """

    address: str
    sequence: int
    xlm_stroops: int
    usdc_stroops: int | None
    usdc_authorized: bool
    sponsor: str | None
    usdc_sponsor: str | None
    subentries: int
    sponsoring: int
    sponsored: int
    latest_ledger: int | None
    usdc_room_stroops: int | None = None
    memo_required: bool = False


@dataclass(frozen=True)
class LedgerRecord:
    sequence: int
    closed_at_unix: int
    hash: str = ""


@dataclass(frozen=True)
class TransactionRecord:
    """A transaction in a closed ledger, successful or failed: final. ``hash`` is the fee bump's where there is one."""

    hash: str
    inner_hash: str
    successful: bool
    ledger: int
    created_at_unix: int
    result_xdr: str
    result_meta_xdr: str | None
    fee_charged_stroops: int


@dataclass(frozen=True)
class Lookup:
    """What Horizon knew of a hash at ``latest_ledger``, the last ledger it had taken in (None: it did not say)."""

    record: TransactionRecord | None
    latest_ledger: int | None


@dataclass(frozen=True)
class Observation:
    """What Horizon showed of one signed transaction, read in this order: account, ledger, transaction, occupant.

    ``account`` is one snapshot of ``ledger`` where its ``latest_ledger`` says so. ``occupant`` is the hash of the transaction that
    took our sequence number, looked for only where the account's sequence has reached it.
    """

    lookup: Lookup
    account: AccountRecord | None = None
    ledger: LedgerRecord | None = None
    occupant: str | None = None


@dataclass(frozen=True)
class PaymentRecord:
    """One record of the payments stream as Horizon wrote it; ``offerhub.stellar.payments`` reads it."""

    paging_token: str
    body: Json


@dataclass(frozen=True)
class ClaimableBalance:
    id: str
    amount_stroops: int


@dataclass(frozen=True)
class SubmitAnswer:
    """Only ``record`` is final. Everything else is kept for the operator and says nothing about the transaction's fate."""

    record: TransactionRecord | None
    status: int
    code: str
    detail: str = ""
    result_codes: tuple[str, ...] = ()
    result_xdr: str | None = None
    diagnostic_events: tuple[str, ...] = field(default=(), repr=False)


def read_root(body: object) -> RootRecord:
    return RootRecord(
        network_passphrase=text(body, "network_passphrase"),
        history_ledger=integer(body, "history_latest_ledger"),
        elder_ledger=integer(body, "history_elder_ledger"),
        core_ledger=integer(body, "core_latest_ledger"),
    )


def read_account(body: object, usdc_issuer: str, latest_ledger: int | None) -> AccountRecord:
    xlm_stroops, usdc = 0, None
    for balance in records(body, "balances"):
        kind = text(balance, "asset_type")
        if kind == "native":
            xlm_stroops = amount(balance, "balance")
        elif (kind, balance.get("asset_code"), balance.get("asset_issuer")) == ("credit_alphanum4", USDC_CODE, usdc_issuer):
            usdc = balance
    return AccountRecord(
        address=text(body, "account_id"),
        sequence=integer(body, "sequence"),
        xlm_stroops=xlm_stroops,
        usdc_stroops=None if usdc is None else amount(usdc, "balance"),
        usdc_authorized=usdc is not None and usdc.get("is_authorized") is True,
        sponsor=optional_text(body, "sponsor"),
        usdc_sponsor=None if usdc is None else optional_text(usdc, "sponsor"),
        subentries=integer(body, "subentry_count"),
        sponsoring=integer(body, "num_sponsoring"),
        sponsored=integer(body, "num_sponsored"),
        latest_ledger=latest_ledger,
        usdc_room_stroops=None if usdc is None else _room(usdc),
        memo_required=_object(_object(body).get("data") or {}).get(_MEMO_REQUIRED) == _YES,
    )


def _room(trustline: Json) -> int:
    """What a trustline takes in addition: offers to buy have a claim on it too."""
    return max(0, amount(trustline, "limit") - amount(trustline, "balance") - amount(trustline, "buying_liabilities"))


def read_ledger(body: object) -> LedgerRecord:
    return LedgerRecord(integer(body, "sequence"), unix_time(body, "closed_at"), text(body, "hash"))


def read_transaction(body: object) -> TransactionRecord:
    successful = _object(body).get("successful")
    if not isinstance(successful, bool):
        raise MalformedRecord("successful is not a truth value")
    # Asked by the inner hash, Horizon repeats it as `hash`; these two say which is which.
    outer, inner = (_object(body).get(name) or body for name in ("fee_bump_transaction", "inner_transaction"))
    return TransactionRecord(
        hash=text(outer, "hash"),
        inner_hash=text(inner, "hash"),
        successful=successful,
        ledger=integer(body, "ledger"),
        created_at_unix=unix_time(body, "created_at"),
        result_xdr=text(body, "result_xdr"),
        result_meta_xdr=optional_text(body, "result_meta_xdr"),
        fee_charged_stroops=integer(body, "fee_charged"),
    )


def read_sequence_use(body: object, source: str) -> tuple[int, str] | None:
    """Sequence number and inner hash of a transaction of ``source``; None where it only took part in somebody else's."""
    if text(body, "source_account") != source:
        return None
    inner = _object(body).get("inner_transaction") or body
    return integer(body, "source_account_sequence"), text(inner, "hash")


def read_page(body: object) -> list[Json]:
    return records(_object(body).get("_embedded"), "records")


def read_payment(body: object) -> PaymentRecord:
    return PaymentRecord(paging_token=text(body, "paging_token"), body=_object(body))


def read_claimable_balance(body: object) -> ClaimableBalance:
    return ClaimableBalance(text(body, "id"), amount(body, "amount"))


def text(body: object, name: str) -> str:
    value = _object(body).get(name)
    if not isinstance(value, str):
        raise MalformedRecord(f"{name} is not a text")
    return value


def optional_text(body: object, name: str) -> str | None:
    value = _object(body).get(name)
    return value if isinstance(value, str) and value else None


def integer(body: object, name: str) -> int:
    """Horizon writes small numbers as numbers and 64-bit ones as strings."""
    value = _object(body).get(name)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= 20:
        return int(value)
    raise MalformedRecord(f"{name} is not a whole number")


def amount(body: object, name: str) -> int:
    try:
        return parse_chain_amount(text(body, name))
    except ValueError as error:
        raise MalformedRecord(f"{name}: {error}") from None


def moment(body: object, name: str) -> datetime:
    try:
        found = datetime.fromisoformat(text(body, name))
    except ValueError:
        raise MalformedRecord(f"{name} is not a time") from None
    if found.tzinfo is None:
        raise MalformedRecord(f"{name} has no time zone")
    return found


def unix_time(body: object, name: str) -> int:
    return int(moment(body, name).timestamp())


def records(body: object, name: str) -> list[Json]:
    value = _object(body).get(name)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise MalformedRecord(f"{name} is not a list of records")
    return value


def _object(body: object) -> Json:
    if not isinstance(body, dict):
        raise MalformedRecord("not a JSON object")
    return body
