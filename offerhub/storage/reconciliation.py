"""Reconciliation runs, the pages they consist of, and what they found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import text

from offerhub.domain.reconciliation import Figures, Finding
from offerhub.storage.unit_of_work import Transaction

_RUN = "r.id, r.status, r.trigger, r.requested_by, r.figures, r.created_at, r.finished_at"
_COUNT = "(SELECT count(*) FROM reconciliation_findings f WHERE f.run_id = r.id) AS finding_count"
_INSERT = text(
    """
    INSERT INTO reconciliation_runs (id, status, trigger, requested_by, created_at) VALUES (:id, :status, :trigger, :requested_by, :now)
    ON CONFLICT (id) DO UPDATE SET status = 'RUNNING' WHERE reconciliation_runs.status = 'PENDING'
    """
)
_GET = text(f"SELECT {_RUN}, {_COUNT} FROM reconciliation_runs r WHERE r.id = :id")  # noqa: S608
_LIST = text(
    f"""
    SELECT {_RUN}, {_COUNT} FROM reconciliation_runs r
    WHERE CAST(:cursor AS text) IS NULL OR r.id < :cursor ORDER BY r.id DESC LIMIT :limit
    """  # noqa: S608
)
_PAGE = text(
    """
    INSERT INTO reconciliation_pages (run_id, part, after, figures) VALUES (:run_id, :part, :after, CAST(:figures AS jsonb))
    ON CONFLICT DO NOTHING
    """
)
# A difference that the run before found too, to the stroop, keeps the name of the run that found it first.
_FINDING = text(
    """
    INSERT INTO reconciliation_findings (id, run_id, kind, resource_type, resource_id, user_id, expected, found, explanation,
                                         first_run_id, created_at)
    VALUES (:id, :run_id, :kind, :resource_type, :resource_id, :user_id, :expected_stroops, :found_stroops, :explanation, coalesce((
        SELECT f.first_run_id FROM reconciliation_findings f
        WHERE f.run_id = (SELECT max(id) FROM reconciliation_runs WHERE status = 'COMPLETED' AND id < :run_id)
          AND f.kind = :kind AND f.resource_id = :resource_id
          AND (:kind = 'PLATFORM_ACCOUNT_LOW'
               OR f.found - f.expected IS NOT DISTINCT FROM CAST(:found_stroops AS bigint) - CAST(:expected_stroops AS bigint))
    ), :run_id), :now)
    ON CONFLICT (run_id, kind, resource_id) DO NOTHING
    RETURNING first_run_id
    """
)
_FINDINGS = text(
    """
    SELECT f.id, f.run_id, f.kind, f.resource_type, f.resource_id, f.user_id, f.expected, f.found, f.explanation, f.first_run_id,
           f.created_at
    FROM reconciliation_findings f WHERE f.run_id = :run_id ORDER BY f.id LIMIT :limit
    """
)
_FINISH = text(
    """
    UPDATE reconciliation_runs r SET status = 'COMPLETED', finished_at = :now, figures = coalesce((
        SELECT jsonb_object_agg(p.part, p.figures) FROM (
            SELECT part, jsonb_build_object('checked', sum(CAST(figures->>'checked' AS int)),
                                            'inMotion', sum(CAST(figures->>'in_motion' AS int)),
                                            'notChecked', sum(CAST(figures->>'not_checked' AS int))) AS figures
            FROM reconciliation_pages WHERE run_id = :id GROUP BY part) p), '{}')
    WHERE r.id = :id AND r.status <> 'COMPLETED'
    """
)


@dataclass(frozen=True)
class RunRecord:
    """``figures`` by part: checked, inMotion, notChecked."""

    id: str
    status: str
    trigger: str
    requested_by: str
    created_at: datetime
    figures: Mapping[str, Any] = field(default_factory=dict)
    finished_at: datetime | None = None
    finding_count: int = 0


@dataclass(frozen=True)
class FindingRecord:
    id: str
    run_id: str
    kind: str
    resource_type: str
    resource_id: str
    user_id: str | None
    expected: int | None
    found: int | None
    explanation: str
    first_run_id: str
    created_at: datetime


async def insert_run(transaction: Transaction, run_id: str, status: str, trigger: str) -> bool:
    """Also moves a PENDING run of this id on; False when it is under way or over already."""
    requested_by = transaction.context.actor_id
    return await transaction.run(_INSERT, id=run_id, status=status, trigger=trigger, requested_by=requested_by, now=transaction.now) == 1


async def get_run(transaction: Transaction, run_id: str) -> RunRecord | None:
    row = await transaction.first(_GET, id=run_id)
    return RunRecord(**row) if row else None


async def page_of_runs(transaction: Transaction, cursor: str | None, limit: int) -> list[RunRecord]:
    return [RunRecord(**row) for row in await transaction.rows(_LIST, cursor=cursor, limit=limit)]


async def insert_page(transaction: Transaction, run_id: str, place: tuple[str, str], figures: Figures) -> bool:
    """``place`` is (part, after); False when this page is done already."""
    encoded = orjson.dumps(vars(figures)).decode()
    return await transaction.run(_PAGE, run_id=run_id, part=place[0], after=place[1], figures=encoded) == 1


async def insert_finding(transaction: Transaction, finding_id: str, run_id: str, finding: Finding) -> bool:
    """True when it is new: neither this run nor the one before has found just this."""
    row = await transaction.first(_FINDING, id=finding_id, run_id=run_id, **vars(finding), now=transaction.now)
    return row is not None and row["first_run_id"] == run_id


async def findings(transaction: Transaction, run_id: str, limit: int) -> list[FindingRecord]:
    return [FindingRecord(**row) for row in await transaction.rows(_FINDINGS, run_id=run_id, limit=limit)]


async def finish(transaction: Transaction, run_id: str) -> bool:
    """False when it was finished before."""
    return await transaction.run(_FINISH, id=run_id, now=transaction.now) == 1
