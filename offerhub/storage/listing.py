"""Lists with filters: every combination of filters is a statement of its own, so that PostgreSQL plans for the ones that are there."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from sqlalchemy import TextClause, text

from offerhub.storage.session import Row
from offerhub.storage.unit_of_work import Transaction


async def newest_first(
    transaction: Transaction, select: str, conditions: Mapping[str, str], wanted: Mapping[str, object], limit: int
) -> list[Row]:
    """``conditions`` are those of the filters by name, ``select`` names the table's columns and ends where they begin.

    A filter that is None is not there. Ordered by the column ``id`` that ``conditions["cursor"]`` compares with.
    """
    values = {name: value for name, value in wanted.items() if value is not None}
    statement = _statement(select, tuple(conditions[name] for name in conditions if name in values))
    return await transaction.rows(statement, **values, limit=limit)


@cache
def _statement(select: str, conditions: tuple[str, ...]) -> TextClause:
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    return text(f"{select} {where} ORDER BY id DESC LIMIT :limit")
