"""What every kind of fault has: settings, and a scope that says what it hits."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from stellar_sdk import StrKey

HORIZON = r"^\w+ /(?!trustless-work/|rpc\b|friendbot\b)"
SUBMISSION = r"^POST /transactions(_async)?$"
TRUSTLESS_WORK = r"^\w+ /trustless-work/"
SEND_TRANSACTION = r"^POST /trustless-work/helper/send-transaction$"


@dataclass(frozen=True)
class Occasion:
    """What a fault may hit: a request, or an envelope on its way into a ledger (then there is no ``line``).

    ``line`` is method and path, ``text`` the target and the body as they were sent, ``envelope`` the XDR in it.
    """

    line: str = ""
    text: str = ""
    envelope: bytes = b""

    def names(self, address: str) -> bool:
        return address in self.text or _key(address) in self.envelope


def envelope_bytes(envelope_xdr: str) -> bytes:
    try:
        return base64.b64decode(envelope_xdr, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _key(address: str) -> bytes:
    if StrKey.is_valid_contract(address):
        return StrKey.decode_contract(address)
    return StrKey.decode_ed25519_public_key(address)


def _address(value: str) -> str:
    if not StrKey.is_valid_contract(value) and not StrKey.is_valid_ed25519_public_key(value):
        raise ValueError("must be an account (G...) or a contract (C...)")
    return value


def _pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"is no regular expression: {error}") from error
    return value


Address = Annotated[str, AfterValidator(_address)]
Pattern = Annotated[str, AfterValidator(_pattern)]


class FaultKind(BaseModel):
    """Settings of one fault; the class's own docstring is its entry in the reference."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True, strict=True)


class Lasting(FaultKind):
    """A state of the network: it holds until the fault is deleted."""


class Scoped(FaultKind):
    """Hits single occasions: the next ``next`` of them, by chance, of one account or contract, of one contract function."""

    next: int | None = Field(default=None, ge=1, le=1_000_000, description="how often it fires; without it until deleted")
    probability: float = Field(default=1.0, gt=0, le=1, description="the chance that it fires where it could")
    seed: int = Field(default=0, description="of that chance: the same seed draws the same")
    account: Address | None = Field(default=None, description="an account (G...) or contract (C...) that the request or its envelope names")
    function: str | None = Field(
        default=None, pattern=r"^[a-zA-Z0-9_]{1,32}$", description="a contract function that the posted envelope names"
    )

    def covers(self, occasion: Occasion) -> bool:
        if self.account is not None and not occasion.names(self.account):
            return False
        return self.function is None or self.function.encode() in occasion.envelope


class OfRequests(Scoped):
    """Hits requests whose method and path match ``path``, a regular expression; each kind has a default."""

    default_path: ClassVar[str] = HORIZON
    path: Pattern | None = Field(default=None, description="a regular expression searched for in method and path, as in POST /transactions")

    def covers(self, occasion: Occasion) -> bool:
        return re.search(self.path or self.default_path, occasion.line) is not None and super().covers(occasion)
