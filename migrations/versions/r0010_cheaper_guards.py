"""Guards of postings and events that cost less."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
