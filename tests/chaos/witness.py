"""Watches every order from inside the database: triggers write down each state that a transaction commits, in the order they commit.

Whoever asked something knows afterwards all moments in which it can have been answered.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import psycopg
from sqlalchemy import text

from tests.chaos.installation import Installation
from tests.chaos.rulebook import Moment

# Deferred to the commit, when the order is still locked: moments have the order of the commits.
_TRIGGERS = """
CREATE TABLE witness (id bigserial PRIMARY KEY, order_id text NOT NULL, moment jsonb NOT NULL);
CREATE INDEX witness_order ON witness (order_id, id);
CREATE FUNCTION witness_order() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed jsonb := to_jsonb(NEW);
    subject text := coalesce(changed ->> 'order_id', changed ->> 'resource_id', changed ->> 'id');
    seen jsonb;
BEGIN
    SELECT jsonb_build_object(
        'state', o.state, 'final_status', o.final_status, 'release_mode', o.release_mode, 'will_release', o.auto_release_at IS NOT NULL,
        'escrow', (SELECT e.state FROM escrows e WHERE e.order_id = o.id),
        'milestones', (SELECT jsonb_agg(m.state ORDER BY m.position) FROM milestones m WHERE m.order_id = o.id),
        'operations', (SELECT coalesce(jsonb_agg(jsonb_build_array(p.id, p.kind, CAST(p.details ->> 'milestone_index' AS integer),
            p.status IN ('PENDING', 'RUNNING')) ORDER BY p.id), '[]') FROM operations p WHERE p.resource_id = o.id),
        'disputes', (SELECT coalesce(jsonb_agg(jsonb_build_array(d.id, d.state, d.frozen_hash IS NOT NULL) ORDER BY d.id), '[]')
            FROM disputes d WHERE d.order_id = o.id))
    INTO seen FROM orders o WHERE o.id = subject;
    INSERT INTO witness (order_id, moment) SELECT subject, seen WHERE seen IS NOT NULL
        AND seen IS DISTINCT FROM (SELECT w.moment FROM witness w WHERE w.order_id = subject ORDER BY w.id DESC LIMIT 1);
    RETURN NULL;
END $$;
"""
_TABLES = ("orders", "escrows", "milestones", "operations", "disputes")
_WATCH = """
CREATE CONSTRAINT TRIGGER witness_{table} AFTER INSERT OR UPDATE ON {table} DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW EXECUTE FUNCTION witness_order();
"""
_FROM_THE_LAST = text(
    """
    SELECT id, moment FROM witness WHERE order_id = :order_id
      AND id >= (SELECT max(id) FROM witness WHERE order_id = :order_id AND id <= :since) ORDER BY id
    """
)


@dataclass(frozen=True)
class Witness:
    installation: Installation

    @classmethod
    async def called(cls, installation: Installation) -> Witness:
        """From now on everything is watched."""
        await asyncio.to_thread(_install, installation.postgres_url)
        return cls(installation)

    async def now(self, order_id: str) -> tuple[int, Moment]:
        """The last moment, with its number."""
        [row] = await self.installation.rows(
            "SELECT id, moment FROM witness WHERE order_id = :id ORDER BY witness.id DESC LIMIT 1", id=order_id
        )
        return row["id"], Moment.of(row["moment"])

    async def since(self, order_id: str, number: int) -> list[Moment]:
        """All moments from a known one on."""
        async with self.installation.database.reading() as reader:
            return [Moment.of(row["moment"]) for row in await reader.rows(_FROM_THE_LAST, order_id=order_id, since=number)]


def _install(url: str) -> None:
    with psycopg.connect(url) as session:
        session.execute(_TRIGGERS)
        for table in _TABLES:
            session.execute(_WATCH.format(table=table))
