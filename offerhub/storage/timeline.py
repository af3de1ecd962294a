"""What happened to an order, in order: read from events, postings, envelopes, operations and what was said, whatever the verbs were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from offerhub.storage.orders import ORDER, OrderRecord, order_of
from offerhub.storage.unit_of_work import Transaction

# Rows of one transaction bear one time; then what moved comes before what was said of it. Among rows of a kind their own order counts:
# a command that had to wait for its turn bears an earlier time than what it found.
_PLACED = """
    subject AS MATERIALIZED (
        SELECT ARRAY[CAST(:order_id AS text)] || ARRAY(
            SELECT id FROM escrows WHERE order_id = :order_id UNION ALL SELECT id FROM milestones WHERE order_id = :order_id
            UNION ALL SELECT id FROM disputes WHERE order_id = :order_id) AS ids
    ), operation AS MATERIALIZED (
        SELECT * FROM operations WHERE resource_id = ANY(CAST((SELECT ids FROM subject) AS text[]))
    ), attempt AS MATERIALIZED (
        SELECT * FROM attempts WHERE operation_id = ANY(ARRAY(SELECT id FROM operation))
    ), item AS (
        SELECT 'ledger' AS kind, 0 AS rank, p.id AS place, p.created_at AS time, to_jsonb(p) || jsonb_build_object('entries', (
            SELECT jsonb_agg(jsonb_build_object('account', e.account, 'amount', e.amount) ORDER BY e.id)
            FROM ledger_entries e WHERE e.posting_id = p.id)) AS data
        FROM ledger_postings p WHERE p.id = ANY(ARRAY(
            SELECT id FROM ledger_postings
            WHERE reference = ANY(CAST((SELECT ids FROM subject) AS text[]) || ARRAY(SELECT id FROM operation))
            UNION SELECT e.posting_id FROM escrows s JOIN ledger_entries e ON e.account = 'escrow:' || s.id WHERE s.order_id = :order_id))
        UNION ALL
        SELECT 'event', 1, e.inserted, e.occurred_at, jsonb_build_object('id', e.id, 'type', e.type, 'payload', e.payload)
        FROM events e
        WHERE e.aggregate_id = ANY(
            CAST((SELECT ids FROM subject) AS text[]) || ARRAY(SELECT id FROM operation) || ARRAY(SELECT id FROM attempt))
            -- What was said is told once, in its own words.
            AND e.payload ->> 'recordId' IS NULL
        UNION ALL
        SELECT 'message', 2, row_number() OVER (ORDER BY r.id), r.created_at, to_jsonb(r)
        FROM dispute_records r WHERE r.dispute_id = ANY(CAST((SELECT ids FROM subject) AS text[]))
        UNION ALL
        SELECT 'operation', 3, row_number() OVER (ORDER BY p.id), p.created_at, to_jsonb(p) - 'details' FROM operation p
        UNION ALL
        SELECT 'transaction', 4, row_number() OVER (ORDER BY a.id), a.created_at, to_jsonb(a) - 'envelope' FROM attempt a
    ), placed AS (
        SELECT *, max(time) OVER (PARTITION BY kind ORDER BY place) AS since FROM item
    )
"""
_NEWEST = "SELECT kind, time, data FROM placed ORDER BY since DESC, rank DESC, place DESC LIMIT :limit"
_TIMELINE = text(f"WITH {_PLACED} {_NEWEST}")
_WITH_ORDER = text(
    f"WITH {_PLACED} SELECT d.*, (SELECT jsonb_agg(to_jsonb(n)) FROM ({_NEWEST}) n) AS timeline FROM ({ORDER} WHERE o.id = :order_id) d"  # noqa: S608
)


@dataclass(frozen=True)
class TimelineItem:
    """``kind`` is ledger, event, message, operation or transaction; ``data`` the row it comes from, amounts in stroops."""

    kind: str
    time: datetime
    data: dict[str, Any]


async def of_order(reader: Transaction, order_id: str, limit: int) -> list[TimelineItem]:
    """The newest ``limit`` items, oldest of them first; empty when there is no such order."""
    rows = await reader.rows(_TIMELINE, order_id=order_id, limit=limit)
    return [TimelineItem(**row) for row in reversed(rows)]


async def with_order(reader: Transaction, order_id: str, limit: int) -> tuple[OrderRecord, list[TimelineItem]] | None:
    """The order and its timeline as of one moment."""
    row = await reader.first(_WITH_ORDER, order_id=order_id, limit=limit)
    if row is None:
        return None
    columns = dict(row)
    newest = columns.pop("timeline") or []
    items = [TimelineItem(item["kind"], datetime.fromisoformat(item["time"]), item["data"]) for item in reversed(newest)]
    return order_of(columns), items
