"""The search attributes of ``temporal-config/search-attributes.json``: what operators find workflows by."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey

ORDER_ID = SearchAttributeKey.for_keyword("OrderId")
BUYER_ID = SearchAttributeKey.for_keyword("BuyerId")
SELLER_ID = SearchAttributeKey.for_keyword("SellerId")
ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
DISPUTE_STATUS = SearchAttributeKey.for_keyword("DisputeStatus")
OPERATION_ID = SearchAttributeKey.for_keyword("OperationId")
OPERATION_KIND = SearchAttributeKey.for_keyword("OperationKind")
ESCROW_CONTRACT = SearchAttributeKey.for_keyword("EscrowContract")
AMOUNT_STROOPS = SearchAttributeKey.for_int("AmountStroops")
# When something happens by itself next.
DEADLINE = SearchAttributeKey.for_datetime("Deadline")

Wanted = list[tuple[SearchAttributeKey[Any], str | int | datetime | None]]


class Attributes:
    """One event for everything that changed, none when nothing did."""

    def __init__(self) -> None:
        self._known: dict[str, str | int | datetime] = {}

    def show(self, wanted: Wanted) -> None:
        """An attribute whose value is empty is taken away, or never set."""
        updates = [key.value_set(value) for key, value in wanted if value and self._known.get(key.name) != value]
        updates += [key.value_unset() for key, value in wanted if not value and key.name in self._known]
        for key, value in wanted:
            if value:
                self._known[key.name] = value
            else:
                self._known.pop(key.name, None)
        if updates:
            workflow.upsert_search_attributes(updates)


def moment(unix: int) -> datetime | None:
    return datetime.fromtimestamp(unix, UTC) if unix else None
