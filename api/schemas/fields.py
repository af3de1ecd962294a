"""The kinds of fields that requests and answers are made of, with their bounds."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError
from pydantic_core.core_schema import no_info_before_validator_function

from offerhub.domain.errors import DomainError
from offerhub.domain.money import parse_amount, parse_currency

METADATA_KEYS = 50
METADATA_CHARACTERS = 500
MILESTONES = 50
_EMAIL = r"^[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+$"


class Body(BaseModel):
    """A request's body or query: camelCase or snake_case names, nothing unknown."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_alias=True, validate_by_name=True, extra="forbid", frozen=True)


class Shape(BaseModel):
    """A part of an answer: camelCase names, exactly these fields."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_alias=True, validate_by_name=True, extra="forbid")


class NoBody(Body):
    """For POSTs that need none; an empty object is fine."""


def _parse_amount(value: object) -> int:
    try:
        return parse_amount(value)
    except DomainError as error:
        raise PydanticCustomError(error.code.value, error.message) from None


def _parse_currency(value: str) -> str:
    try:
        return parse_currency(value)
    except DomainError as error:
        raise PydanticCustomError(error.code.value, "only USDC is supported") from None


def check_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _check_reference(value: str) -> str:
    """References stand in addresses, where a line end cannot."""
    if "\n" in value or "\r" in value:
        raise ValueError("must be one line")
    return check_blank(value)


def _check_metadata(value: dict[str, Any]) -> dict[str, Any]:
    if len(value) > METADATA_KEYS:
        raise ValueError(f"at most {METADATA_KEYS} keys")
    for key, member in value.items():
        written = member if isinstance(member, str) else orjson.dumps(member).decode()
        if not key or len(key) > METADATA_CHARACTERS or len(written) > METADATA_CHARACTERS:
            raise ValueError(f"keys and values have at most {METADATA_CHARACTERS} characters")
        if re.search(r"[-+]?\d+\.\d", written) and not isinstance(member, str):
            raise ValueError(f"write the number in {key!r} as a string")
    return value


def _check_written_out(value: object) -> object:
    """Pydantic would take a number for the seconds since 1970."""
    if not re.match(r"\d{4}-\d\d-\d\d", str(value)):
        raise ValueError("write it as 2026-01-31T12:00:00Z")
    return value


_AMOUNT_SCHEMA = {"type": "string", "pattern": r"^\d{1,12}\.\d{2,7}$", "examples": ["80.00"], "description": "Greater than zero."}
RequestedAmount = Annotated[int, PlainValidator(_parse_amount), WithJsonSchema(_AMOUNT_SCHEMA)]
_CURRENCY_SCHEMA = {"type": "string", "enum": ["USDC", "USD"]}
RequestedCurrency = Annotated[str, StringConstraints(max_length=12), AfterValidator(_parse_currency), WithJsonSchema(_CURRENCY_SCHEMA)]
Amount = Annotated[str, StringConstraints(pattern=r"^\d+\.\d{2,7}$"), Field(examples=["80.00"])]
Time = Annotated[str, StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"), Field(examples=["2026-01-31T12:00:00.000Z"])]
RequestedTime = Annotated[AwareDatetime, BeforeValidator(_check_written_out)]
Id = Annotated[str, StringConstraints(min_length=1, max_length=64)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=255), AfterValidator(_check_reference)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=100), AfterValidator(check_blank)]
Description = Annotated[str, StringConstraints(max_length=500)]
Reason = Annotated[str, StringConstraints(max_length=500)]
# Up to a year.
Seconds = Annotated[int, Field(ge=1, le=31_536_000, strict=True)]
Email = Annotated[str, StringConstraints(max_length=254, pattern=_EMAIL)]
Metadata = Annotated[dict[str, Any], AfterValidator(_check_metadata)]


@dataclass(frozen=True)
class NullIs:
    """An optional field sent as null is a field not sent; the document says that null may be sent."""

    default: object

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(lambda value: self.default if value is None else value, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [handler(schema), {"type": "null"}]}
