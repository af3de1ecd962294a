"""Where a withdrawal may go: memos, and what must hold of a destination before any money is set aside for it.

Facts of the network are read by others and judged here, so that every entrance refuses the same thing in the same words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.money import format_amount

CRYPTO = "crypto"
_TEXT_BYTES = 28
_MAX_ID = 2**64 - 1
_HASH = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_NUMBER = re.compile(r"0|[1-9][0-9]{0,19}", re.ASCII)


class MemoType(StrEnum):
    TEXT = "text"
    ID = "id"
    HASH = "hash"
    RETURN = "return"


@dataclass(frozen=True)
class Memo:
    """``value`` is the text, the decimal number, or 64 lower-case hex digits."""

    type: MemoType
    value: str


def parse_memo(value: str | None, memo_type: str | None) -> Memo | None:
    """Without a type a memo is a text. Raises ``VALIDATION_ERROR`` for what the network could not carry."""
    if value is None:
        if memo_type is not None:
            raise _malformed("memoType was given without a memo")
        return None
    kind = MemoType(memo_type or MemoType.TEXT)
    if kind is MemoType.TEXT and not 1 <= len(value.encode()) <= _TEXT_BYTES:
        raise _malformed(f"a text memo has 1 to {_TEXT_BYTES} bytes of UTF-8")
    if kind is MemoType.ID and not (_NUMBER.fullmatch(value) and int(value) <= _MAX_ID):
        raise _malformed(f"an id memo is a whole number from 0 to {_MAX_ID}")
    if kind in (MemoType.HASH, MemoType.RETURN):
        if not _HASH.fullmatch(value):
            raise _malformed("a hash or return memo is 64 hexadecimal digits")
        return Memo(kind, value.lower())
    return Memo(kind, value)


class AddressKind(StrEnum):
    ACCOUNT = "account"
    MUXED = "muxed"
    CONTRACT = "contract"
    UNREADABLE = "unreadable"


@dataclass(frozen=True)
class Destination:
    """What the network showed of an address a moment ago. ``room_stroops`` is None without a trustline to our USDC."""

    address: str
    kind: AddressKind
    exists: bool = False
    is_issuer: bool = False
    is_authorized: bool = False
    room_stroops: int | None = None
    memo_required: bool = False


_KIND_REFUSALS = {
    AddressKind.UNREADABLE: "This is not an address of the Stellar network.",
    AddressKind.MUXED: "Muxed addresses (M…) are not paid; give the account (G…) and its id as a memo of type id.",
    AddressKind.CONTRACT: "Contracts (C…), an order's escrow among them, are not paid by withdrawals; give an account (G…).",
}


def check_destination(destination: Destination, amount_stroops: int, memo: Memo | None) -> None:
    """Raise ``WITHDRAWAL_DESTINATION_INVALID`` with the first reason why the payment would be refused or lost."""
    if destination.kind is not AddressKind.ACCOUNT:
        raise invalid_destination(destination.address, _KIND_REFUSALS[destination.kind])
    if destination.is_issuer:
        raise invalid_destination(destination.address, "This is the issuer of USDC: what it receives is destroyed.")
    if not destination.exists:
        raise invalid_destination(destination.address, "There is no such account on the network yet.")
    if destination.room_stroops is None:
        raise invalid_destination(destination.address, "The account has no trustline to this USDC, so it cannot receive it.")
    if not destination.is_authorized:
        raise invalid_destination(destination.address, "The issuer does not let this account receive USDC.")
    if destination.room_stroops < amount_stroops:
        room = format_amount(destination.room_stroops)
        raise invalid_destination(destination.address, f"The account's trustline takes {room} USDC more at most.")
    if destination.memo_required and memo is None:
        raise invalid_destination(destination.address, "The account requires a memo (SEP-29); without one the money would be lost.")


def invalid_destination(address: str, sentence: str) -> DomainError:
    return DomainError(ErrorCode.WITHDRAWAL_DESTINATION_INVALID, sentence, {"destination": address[:80]})


def _malformed(message: str) -> DomainError:
    return DomainError(ErrorCode.VALIDATION_ERROR, f"memo: {message}.", {"fields": [{"field": "memo", "message": message}]})
