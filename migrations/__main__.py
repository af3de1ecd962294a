"""Apply all pending revisions; prints the revision reached."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from alembic import command
from alembic.config import Config


def upgrade(database_url: str) -> None:
    """Bring the database to the newest revision; safe to run at the same time from several processes."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["database_url"] = database_url
    command.upgrade(config, "head")


def main() -> int:
    database_url = os.environ.get("DIRECT_URL") or os.environ.get("DATABASE_URL")
    if not database_url:
        sys.stderr.write("migrations: DATABASE_URL (or DIRECT_URL) is not set\n")
        return 2
    upgrade(database_url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
