"""Events by time: where a reader begins who resumes at a time instead of an event."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX events_occurred ON events (occurred_at, position)")
