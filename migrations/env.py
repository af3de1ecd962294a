"""Alembic's entry point: one connection, one advisory lock so that two starting stacks do not migrate at once."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine, text

_LOCK = 0x0FFE_0001


def run() -> None:
    url = str(context.config.attributes["database_url"]).replace("postgresql://", "postgresql+psycopg://", 1)
    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": _LOCK})
        connection.commit()
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _LOCK})
        connection.commit()
    engine.dispose()


run()
