"""What happened to an order, in order: read from events, postings, envelopes, operations and what was said, whatever the verbs were."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text

from offerhub.storage.unit_of_work import Transaction

# Rows of one transaction bear one time; then what moved comes before what was said of it. Among rows of a kind their own order counts:
# a command that had to wait for its turn bears an earlier time than what it found.
_TIMELINE = text(
    """
    WITH subject AS (
        SELECT CAST(:order_id AS text) AS id
        UNION ALL SELECT id FROM escrows WHERE order_id = :order_id
        UNION ALL SELECT id FROM milestones WHERE order_id = :order_id
        UNION ALL SELECT id FROM disputes WHERE order_id = :order_id
    ), operation AS (
        SELECT * FROM operations WHERE resource_id IN (SELECT id FROM subject)
    ), attempt AS (
        SELECT * FROM attempts WHERE operation_id IN (SELECT id FROM operation)
    ), posting AS (
        SELECT * FROM ledger_postings WHERE reference IN (SELECT id FROM subject UNION ALL SELECT id FROM operation)
        UNION SELECT p.* FROM escrows s JOIN ledger_entries e ON e.account = 'escrow:' || s.id JOIN ledger_postings p ON p.id = e.posting_id
        WHERE s.order_id = :order_id
    ), item AS (
        SELECT 'ledger' AS kind, 0 AS rank, p.id AS place, p.created_at AS time, to_jsonb(p) || jsonb_build_object('entries', (
            SELECT jsonb_agg(jsonb_build_object('account', e.account, 'amount', e.amount) ORDER BY e.id)
            FROM ledger_entries e WHERE e.posting_id = p.id)) AS data
        FROM posting p
        UNION ALL
        SELECT 'event', 1, e.inserted, e.occurred_at, jsonb_build_object('id', e.id, 'type', e.type, 'payload', e.payload)
        FROM events e WHERE e.aggregate_id IN (SELECT id FROM subject UNION ALL SELECT id FROM operation UNION ALL SELECT id FROM attempt)
            -- What was said is told once, in its own words.
            AND e.payload ->> 'recordId' IS NULL
        UNION ALL
        SELECT 'message', 2, row_number() OVER (ORDER BY r.id), r.created_at, to_jsonb(r)
        FROM dispute_records r WHERE r.dispute_id IN (SELECT id FROM subject)
        UNION ALL
        SELECT 'operation', 3, row_number() OVER (ORDER BY p.id), p.created_at, to_jsonb(p) - 'details' FROM operation p
        UNION ALL
        SELECT 'transaction', 4, row_number() OVER (ORDER BY a.id), a.created_at, to_jsonb(a) - 'envelope' FROM attempt a
    ), placed AS (
        SELECT *, max(time) OVER (PARTITION BY kind ORDER BY place) AS since FROM item
    )
    SELECT kind, time, data FROM placed ORDER BY since DESC, rank DESC, place DESC LIMIT :limit
    """
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
