"""A database as it is after years: users, their balances, postings with their entries, orders; made by SQL, not by requests.

What it leaves out of what the server would have written: events, audit entries, kept answers, wallets.
"""

from __future__ import annotations

import subprocess
import sys

import psycopg
from psycopg import Connection, sql

from bench.failure import BenchFailure
from bench.machine import CHECKOUT

POSTINGS_PER_USER = 5
ENTRIES_PER_POSTING = 2
DEPOSIT_STROOPS = 1_000_000_000
# Ids of the length of real ones.
_FILL = (
    """
    INSERT INTO users SELECT 'usr_' || lpad(n::text, 26, '0'), 'scale-' || n, NULL, 'BOTH', 'ACTIVE', '{}', now(), now()
    FROM generate_series(1, %(users)s) n
    """,
    """
    INSERT INTO account_balances
    SELECT 'user:usr_' || lpad(n::text, 26, '0') || ':' || part, CASE part WHEN 'available' THEN %(held)s ELSE 0 END, now()
    FROM generate_series(1, %(users)s) n, unnest(ARRAY['available', 'reserved']) part
    """,
    "UPDATE account_balances SET balance = -%(held)s::bigint * %(users)s WHERE account = 'world:stellar'",
    """
    INSERT INTO ledger_postings (id, reference, kind, created_at) OVERRIDING SYSTEM VALUE
    SELECT n, 'dep_' || lpad(n::text, 26, '0'), 'deposit', now() FROM generate_series(1, %(postings)s) n
    """,
    # Round and round, so that a user's entries lie far from each other, as they do in life.
    """
    INSERT INTO ledger_entries (posting_id, account, amount)
    SELECT n, account, CASE account WHEN 'world:stellar' THEN -%(deposit)s::bigint ELSE %(deposit)s END
    FROM generate_series(1, %(postings)s) n,
        unnest(ARRAY['world:stellar', 'user:usr_' || lpad(((n - 1) %% %(users)s + 1)::text, 26, '0') || ':available']) account
    """,
    """
    INSERT INTO orders (id, buyer_id, seller_id, amount, currency, title, state, final_status, platform_fee_bps, metadata,
                        created_at, updated_at, closed_at)
    SELECT 'ord_' || lpad(n::text, 26, '0'), 'usr_' || lpad(n::text, 26, '0'), 'usr_' || lpad((n %% %(users)s + 1)::text, 26, '0'),
           10000000, 'USDC', 'Order ' || n, 'CLOSED', 'CANCELED', 0, '{}', now(), now(), now()
    FROM generate_series(1, %(users)s) n
    """,
    """
    INSERT INTO milestones (id, order_id, position, ref, title, amount, state)
    SELECT 'mst_' || lpad(n::text, 26, '0'), 'ord_' || lpad(n::text, 26, '0'), 0, 'delivery', 'Delivery', 10000000, 'OPEN'
    FROM generate_series(1, %(users)s) n
    """,
    "SELECT setval(pg_get_serial_sequence('ledger_postings', 'id'), max(id)) FROM ledger_postings",
)
_FILLED = ["users", "account_balances", "ledger_postings", "ledger_entries", "orders", "milestones"]
# Those behind a constraint stay; the others are built when the rows are there, which takes a fraction of the time.
_INDEXES = """
    SELECT i.indexname, i.indexdef FROM pg_indexes i
    WHERE i.schemaname = 'public' AND i.tablename = ANY(%s) AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conname = i.indexname)
"""


def user_id(number: int) -> str:
    return f"usr_{number:026d}"


def order_id(number: int) -> str:
    """A closed order of the n-th user's; there are as many as users."""
    return f"ord_{number:026d}"


def create(server_url: str, name: str, users: int) -> str:
    """A new database on the server, migrated and filled; returns its URL. The books in it balance."""
    url = f"{server_url.rpartition('/')[0]}/{name}"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    done = subprocess.run(
        (sys.executable, "-m", "migrations"), cwd=CHECKOUT, env={"DATABASE_URL": url}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise BenchFailure(f"migrations failed:\n{done.stdout}{done.stderr}")
    with psycopg.connect(url, autocommit=True) as connection:
        _fill(connection, users)
    return url


def drop(server_url: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def _fill(connection: Connection, users: int) -> None:
    held = POSTINGS_PER_USER * DEPOSIT_STROOPS
    sizes = {"users": users, "postings": users * POSTINGS_PER_USER, "deposit": DEPOSIT_STROOPS, "held": held}
    # Triggers and foreign keys would look at every row by itself; the rows are made to satisfy them, and the sums are checked below.
    connection.execute("SET session_replication_role = replica; SET synchronous_commit = off; SET maintenance_work_mem = '512MB'")
    indexes = connection.execute(_INDEXES, (_FILLED,)).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    for statement in _FILL:
        connection.execute(statement, sizes)
    for _, definition in indexes:
        connection.execute(definition)
    connection.execute("VACUUM ANALYZE")
    drift = connection.execute("SELECT sum(balance), (SELECT sum(amount) FROM ledger_entries) FROM account_balances").fetchone()
    if drift != (0, 0):
        raise BenchFailure(f"the books of the filled database do not balance: {drift}")
