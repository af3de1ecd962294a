"""What the metrics say of the database: each figure one statement over an index that holds only what it counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text

from offerhub.domain import ledger
from offerhub.domain.states import OPEN_ATTEMPT_STATES
from offerhub.storage.unit_of_work import BACKGROUND_PRIORITY, Transaction

RECENTLY = timedelta(minutes=5)
_AGE = "coalesce(extract(epoch FROM clock_timestamp() - min({})), 0)::float8 AS oldest_s"
_IN_FLIGHT = text("SELECT kind, status, count(*) FROM operations WHERE status IN ('PENDING', 'RUNNING') GROUP BY kind, status")
_FINISHED = text("SELECT kind, status, count(*) FROM operations WHERE finished_at > :since GROUP BY kind, status")
_OUTBOX = text(
    f"""
    SELECT priority < :background AS urgent, count(*), {_AGE.format("created_at")}
    FROM workflow_messages WHERE dispatched_at IS NULL GROUP BY 1
    """  # noqa: S608
)
_ATTEMPTS = text("SELECT state, count(*) FROM attempts WHERE state IN ('SIGNED', 'SUBMITTED', 'UNKNOWN') GROUP BY state")
_EVENTS = text(f"SELECT count(*), {_AGE.format('occurred_at')} FROM events WHERE position IS NULL")  # noqa: S608
_AUDIT = text(
    """
    SELECT (SELECT count(*) FROM audit_unsealed) AS unsealed,
           (SELECT coalesce(max(sequence), 0) FROM audit_chain) AS sequence
    """
)
_STREAMS = text(
    """
    SELECT name, CAST(cursor AS bigint) >> 32 AS ledger, halted_reason IS NOT NULL AS halted,
           extract(epoch FROM clock_timestamp() - updated_at)::float8 AS age_s
    FROM stream_cursors
    """
)
_ACCOUNTS = text("SELECT account, balance FROM account_balances WHERE account = ANY(:accounts)")
_FINDINGS = text(
    """
    SELECT kind, count(*) FROM reconciliation_findings
    WHERE run_id = (SELECT max(id) FROM reconciliation_runs WHERE status = 'COMPLETED') GROUP BY kind
    """
)


@dataclass(frozen=True)
class Waiting:
    count: int = 0
    oldest_s: float = 0.0


@dataclass(frozen=True)
class Stream:
    ledger: int
    age_s: float
    halted: bool


@dataclass(frozen=True)
class Gauges:
    """``operations`` by kind and status, in flight and ended within ``RECENTLY``; balances in stroops."""

    operations_in_flight: dict[tuple[str, str], int]
    operations_finished: dict[tuple[str, str], int]
    outbox_commands: Waiting
    outbox_views: Waiting
    open_attempts: dict[str, int]
    unnumbered_events: Waiting
    unsealed_audit_entries: int
    audit_sequence: int
    streams: dict[str, Stream]
    balances: dict[str, int]
    findings: dict[str, int]


async def read(reader: Transaction) -> Gauges:
    in_flight = await reader.rows(_IN_FLIGHT)
    finished = await reader.rows(_FINISHED, since=reader.now - RECENTLY)
    outbox = {row["urgent"]: Waiting(row["count"], row["oldest_s"]) for row in await reader.rows(_OUTBOX, background=BACKGROUND_PRIORITY)}
    attempts = {row["state"]: row["count"] for row in await reader.rows(_ATTEMPTS)}
    [events] = await reader.rows(_EVENTS)
    [audit] = await reader.rows(_AUDIT)
    accounts = [ledger.PLATFORM_REVENUE, ledger.PROTOCOL_FEES]
    return Gauges(
        operations_in_flight={(row["kind"], row["status"]): row["count"] for row in in_flight},
        operations_finished={(row["kind"], row["status"]): row["count"] for row in finished},
        outbox_commands=outbox.get(True, Waiting()),
        outbox_views=outbox.get(False, Waiting()),
        open_attempts={state.value: attempts.get(state, 0) for state in sorted(OPEN_ATTEMPT_STATES)},
        unnumbered_events=Waiting(events["count"], events["oldest_s"]),
        unsealed_audit_entries=audit["unsealed"],
        audit_sequence=audit["sequence"],
        streams={row["name"]: Stream(row["ledger"], row["age_s"], row["halted"]) for row in await reader.rows(_STREAMS)},
        balances={row["account"]: row["balance"] for row in await reader.rows(_ACCOUNTS, accounts=accounts)},
        findings={row["kind"]: row["count"] for row in await reader.rows(_FINDINGS)},
    )
