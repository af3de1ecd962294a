"""What fields of requests take and what they refuse, where a looser reading would have been easy."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from api.schemas.answers import PageQuery
from api.schemas.api_keys import CreateApiKeyBody, CreateTokenBody, RotateBody
from api.schemas.audit import AuditQuery
from api.schemas.balances import BalanceQuery, StatementQuery
from api.schemas.fields import Body
from api.schemas.orders import CreateOrderBody, ExtendBody, OrderQuery
from api.schemas.users import ChangeUserBody, CreateUserBody
from api.schemas.webhooks import CreateWebhookEndpointBody, RotateSecretBody, UpdateWebhookEndpointBody
from api.schemas.withdrawals import CreateWithdrawalBody

ORDER = {"buyerId": "usr_1", "sellerId": "usr_2", "amount": "80.00", "title": "A logo"}
KEY = {"name": "shop", "scopes": ["read"]}
USER = {"externalUserId": "ada"}
PAYOUT = {"userId": "usr_1", "amount": "1.00", "destinationType": "crypto", "destinationRef": "G"}
SECONDS = [
    (RotateBody, {}, "overlapSeconds"),
    (RotateSecretBody, {}, "overlapSeconds"),
    (CreateTokenBody, {}, "ttlSeconds"),
    (ExtendBody, {}, "extendBySeconds"),
    (CreateOrderBody, ORDER, "autoReleaseAfterSeconds"),
    (CreateOrderBody, ORDER, "reservationExpiresAfterSeconds"),
]
TIMES = [
    (CreateApiKeyBody, KEY, "expiresAt"),
    (BalanceQuery, {}, "at"),
    (StatementQuery, {}, "from"),
    (StatementQuery, {}, "to"),
    (AuditQuery, {}, "from"),
    (AuditQuery, {}, "to"),
    (OrderQuery, {}, "createdAfter"),
    (OrderQuery, {}, "createdBefore"),
]
DEFAULTS: list[tuple[type[Body], dict[str, Any], str, object]] = [
    (CreateApiKeyBody, KEY, "allowedIps", []),
    (CreateTokenBody, {}, "ttlSeconds", 900),
    (CreateOrderBody, ORDER, "currency", "USDC"),
    (CreateOrderBody, ORDER, "milestones", []),
    (CreateOrderBody, ORDER, "metadata", {}),
    (CreateOrderBody, ORDER, "releaseMode", "single"),
    (CreateUserBody, USER, "type", "BOTH"),
    (CreateUserBody, USER, "metadata", {}),
    (ChangeUserBody, {}, "metadata", {}),
    (CreateWebhookEndpointBody, {"url": "https://shop.example"}, "eventTypes", ["*"]),
    (RotateSecretBody, {}, "overlapSeconds", 86_400),
    (CreateWithdrawalBody, PAYOUT, "currency", "USDC"),
]


def taken(body: type[Body], fields: dict[str, Any], name: str, value: object) -> object:
    return body.model_validate({**fields, name: value}).model_dump(by_alias=True)[name]


@pytest.mark.parametrize(("body", "fields", "name"), SECONDS)
@pytest.mark.parametrize("wrong", [False, True, 60.0, "60", -1, 10**9])
def test_seconds_are_whole_numbers_within_their_bounds(body: type[Body], fields: dict[str, Any], name: str, wrong: object) -> None:
    assert taken(body, fields, name, 60) == 60
    with pytest.raises(ValidationError):
        taken(body, fields, name, wrong)


@pytest.mark.parametrize(("body", "fields", "name"), TIMES)
@pytest.mark.parametrize("wrong", [0, 4_102_444_800, "4102444800", 4e9, True, "tomorrow", "2099-01-31", "2099-01-31T12:00:00", ""])
def test_times_are_written_out_with_their_offset(body: type[Body], fields: dict[str, Any], name: str, wrong: object) -> None:
    """A number would be taken for seconds since 1970, or for milliseconds, whichever comes nearer."""
    assert taken(body, fields, name, "2099-01-31T13:00:00+01:00") == datetime(2099, 1, 31, 12, tzinfo=UTC)
    with pytest.raises(ValidationError):
        taken(body, fields, name, wrong)


@pytest.mark.parametrize(("body", "fields", "name", "default"), DEFAULTS)
def test_null_is_as_if_it_were_not_sent_and_the_document_says_so(
    body: type[Body], fields: dict[str, Any], name: str, default: object
) -> None:
    assert taken(body, fields, name, None) == default == body.model_validate(fields).model_dump(by_alias=True)[name]
    assert {"type": "null"} in body.model_json_schema()["properties"][name]["anyOf"]


@pytest.mark.parametrize("wrong", ["true", 1, 0, "yes"])
def test_enabled_is_true_or_false(wrong: object) -> None:
    with pytest.raises(ValidationError):
        UpdateWebhookEndpointBody.model_validate({"enabled": wrong})


@pytest.mark.parametrize("query", PageQuery.__subclasses__())
def test_a_cursor_is_an_id_of_the_list(query: type[PageQuery]) -> None:
    right = f"{query.prefix}_1"
    assert query.model_validate({"cursor": right}).cursor == right
    for wrong in ("xyz_1", query.prefix, "1", "", f" {right}"):
        with pytest.raises(ValidationError):
            query.model_validate({"cursor": wrong})
