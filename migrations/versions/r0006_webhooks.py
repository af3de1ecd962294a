"""Webhook endpoints and their deliveries."""

from __future__ import annotations

from pathlib import Path

from alembic import op
from sqlalchemy import text

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute(text(Path(__file__).with_suffix(".sql").read_text().replace(":", r"\:")))
