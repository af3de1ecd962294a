"""The figures of one run: for people as Markdown, for programs as JSON, both named by the run's date."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench.cells import Cell
from bench.costs import Cost
from bench.cpu import Usage
from bench.deposits import Deposits
from bench.history import HistoryEvents
from bench.latency import Latency
from bench.lifecycle import LifeCycles
from bench.machine import Machine
from bench.release import Releases
from bench.scale import ALMOST_EMPTY_USERS, Scale
from bench.signers import Pool
from bench.sse import SseLatency

# Requests per second that all of it is to do on two cores, and the p99 at the concurrency where that counts.
REQUESTS_PER_S = {"POST order": 600, "POST reserve": 600, "GET order": 1_500}
LOAD_CONCURRENCY = 16
LOAD_P99_MS = 80
LIVES_PER_S = 5
SSE_P50_MS = 50
RELEASE_ADDED_PERCENT = 10


@dataclass
class Report:
    """Parts that were not asked for stay empty. ``books`` says how they were found to balance."""

    started_at: str
    machine: Machine
    conditions: Mapping[str, str]
    idle: Usage | None = None
    life_cycles: list[LifeCycles] = field(default_factory=list)
    history: HistoryEvents | None = None
    sse: SseLatency | None = None
    cells: list[Cell] = field(default_factory=list)
    deposits: Deposits | None = None
    releases: Releases | None = None
    signer_pools: list[Pool] = field(default_factory=list)
    costs: Mapping[str, Cost] = field(default_factory=dict)
    scale: Scale | None = None
    books: str = ""
    notes: list[str] = field(default_factory=list)

    def write(self, folder: Path) -> Path:
        """Returns the Markdown file's path."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.started_at.replace(':', '')}.md"
        path.write_text(self.markdown())
        path.with_suffix(".json").write_text(json.dumps(asdict(self), indent=2) + "\n")
        return path

    def markdown(self) -> str:
        chain = (self._deposits, self._releases, self._signer_pools)
        parts = (self._head, self._targets, self._cells, self._lives, self._sse, *chain, self._costs, self._scale, self._end)
        return "\n".join(line for part in parts for line in part())

    def _head(self) -> Iterator[str]:
        machine = self.machine
        yield f"# Bench of {self.started_at}\n"
        yield f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib} GiB, {machine.system}, Python {machine.python},"
        yield f"revision {machine.revision}, load average before the run {machine.load_average_before}. Load and stack share the machine."
        if self.conditions:
            yield f"\nConditions: {', '.join(f'{name}={value}' for name, value in self.conditions.items())}."
        yield ""

    def _targets(self) -> Iterator[str]:
        if reached := list(self._reached()):
            yield "## Targets\n"
            yield from _table(("target", "reached"), reached)

    def _reached(self) -> Iterator[tuple[str, str]]:
        for cell in self.cells:
            if cell.concurrency == LOAD_CONCURRENCY:
                target = f"{cell.request} at concurrency {LOAD_CONCURRENCY}: ≥ {REQUESTS_PER_S[cell.request]}/s, p99 ≤ {LOAD_P99_MS} ms"
                neighbours = f"neighbours used {cell.usage.neighbours_cores} cores"
                yield target, f"{cell.per_second}/s, p99 {cell.latency.p99_ms} ms; {neighbours}"
        if self.life_cycles:
            fastest = max(self.life_cycles, key=lambda lives: lives.per_second)
            yield f"≥ {LIVES_PER_S} life cycles/s", f"{fastest.per_second}/s at concurrency {fastest.concurrency}"
        if self.sse:
            began, answered = self.sse.since_transaction_began, self.sse.since_response
            yield f"commit to SSE: p50 ≤ {SSE_P50_MS} ms", f"between {answered.p50_ms} and {began.p50_ms} ms"
        if self.releases:
            target = f"release: ≤ {RELEASE_ADDED_PERCENT} % beyond its ledgers at {self.releases.ledger_s:g} s each"
            yield target, f"{self.releases.added_percent} % ({self.releases.added_mean_s} s)"

    def _cells(self) -> Iterator[str]:
        if not self.cells:
            return
        yield "## Requests\n"
        head = ("request", "concurrency", "p50 ms", "p95 ms", "p99 ms", "per second", "counted")
        rows = [(cell.request, cell.concurrency, *_percentiles(cell.latency), cell.per_second, cell.latency.count) for cell in self.cells]
        yield from _table(head, rows)
        yield "CPU ms per request by role, everything that went on meanwhile included:\n"
        yield from _usages([(f"{cell.request}, {cell.concurrency}", cell.usage) for cell in self.cells])

    def _lives(self) -> Iterator[str]:
        if not self.life_cycles:
            return
        yield "## Life cycles\n"
        yield "create, reserve, escrow, fund, release with an instant ledger; p50/p95 in ms\n"
        yield from _table(
            ("concurrency", "orders", "per second", "whole", *self.life_cycles[0].verbs),
            [
                (lives.concurrency, lives.count, lives.per_second, *map(_short, (lives.whole, *lives.verbs.values())))
                for lives in self.life_cycles
            ],
        )
        yield "CPU ms per life cycle by role; idle is per second of the stack when nobody uses it:\n"
        usages = [(f"concurrency {lives.concurrency}", lives.usage) for lives in self.life_cycles]
        yield from _usages([*usages, ("idle", self.idle)] if self.idle else usages)
        if self.history:
            parts = ", ".join(f"{name} {number}" for name, number in self.history.by_workflow.items())
            yield f"History events per life cycle: {self.history.per_life_cycle} ({parts}; average of {self.history.orders} orders).\n"

    def _sse(self) -> Iterator[str]:
        if self.sse:
            yield f"## Commit to SSE\n\n{self.sse.orders_per_second} orders per second, one subscriber\n"
            began, answered = self.sse.since_transaction_began, self.sse.since_response
            rows = [("the transaction's beginning", *_percentiles(began), began.count)]
            rows += [("the answer's arrival", *_percentiles(answered), answered.count)]
            yield from _table(("since", "p50 ms", "p95 ms", "p99 ms", "events"), rows)

    def _deposits(self) -> Iterator[str]:
        if self.deposits:
            yield "## Deposits\n"
            close, backlog = self.deposits.since_close, self.deposits.backlog
            yield "From the ledger's close to the event at a subscriber, one deposit and one ledger per second:\n"
            yield from _table(("p50 ms", "p95 ms", "p99 ms", "deposits"), [(*_percentiles(close), close.count)])
            yield f"{backlog.payments} payments made while the worker was down: {backlog.per_second} scanned and credited per second,"
            yield f"in {backlog.batches} batches; {backlog.recovered_s} s from killing the worker to the last event.\n"

    def _releases(self) -> Iterator[str]:
        if self.releases:
            releases = self.releases
            yield f"## Releases at {releases.ledger_s:g} s ledgers\n"
            yield f"{releases.count} releases of {releases.transactions} transactions, {releases.at_once} at once, asked for at moments"
            yield "spread over the interval; seconds until the n-th close after the request, until the answer, and the difference\n"
            names = ("needed", "whole", "added")
            rows = [(name, *_seconds(taken)) for name, taken in zip(names, (releases.needed, releases.whole, releases.added), strict=True)]
            yield from _table(("", "p50 s", "p95 s", "p99 s"), rows)
            yield f"Added: {releases.added_mean_s} s on average, {releases.added_percent} % of what was needed;"
            yield f"{releases.ledgers_missed} ledgers missed.\n"

    def _signer_pools(self) -> Iterator[str]:
        if self.signer_pools:
            yield f"## Escrows deployed at {self.signer_pools[0].ledger_s:g} s ledgers\n"
            head = ("platform signers", "escrows asked for at once", "ledgers", "per minute", "possible per minute")
            rows = [(pool.signers, pool.escrows, pool.ledgers, pool.per_minute, pool.possible_per_minute) for pool in self.signer_pools]
            yield from _table(head, rows)
            yield "CPU ms per escrow by role, the waiting for ledgers included:\n"
            yield from _usages([(f"{pool.signers} signers", pool.usage) for pool in self.signer_pools])

    def _costs(self) -> Iterator[str]:
        if self.costs:
            yield "## Safeguards\n"
            yield "CPU ms of a transaction that writes these and nothing else, BEGIN and COMMIT included, and of one count in Redis:\n"
            yield from _table(("", "API", "PostgreSQL"), [(name, cost.api_ms, cost.postgres_ms) for name, cost in self.costs.items()])

    def _scale(self) -> Iterator[str]:
        if self.scale:
            scale = self.scale
            yield f"## {scale.users} users, {scale.entries} ledger entries\n"
            yield f"{scale.database_mib} MiB, filled in {scale.filled_s} s. One call at a time without HTTP, commits included;"
            yield f"in ms, with {ALMOST_EMPTY_USERS} users and with all of them\n"
            rows = [
                (name, sized.empty.p50_ms, sized.full.p50_ms, sized.empty.p99_ms, sized.full.p99_ms)
                for name, sized in scale.actions.items()
            ]
            yield from _table(("", "p50 empty", "p50 full", "p99 empty", "p99 full"), rows)
            yield f"Tables read from end to end meanwhile: {', '.join(scale.scanned) or 'none'}.\n"

    def _end(self) -> Iterator[str]:
        if sentences := [sentence for sentence in (self.books, *self.notes) if sentence]:
            yield "## Afterwards\n"
            yield from (f"{sentence}\n" for sentence in sentences)


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{'---|' * len(head)}"
    for row in rows:
        yield f"| {' | '.join(map(str, row))} |"
    yield ""


def _usages(usages: Sequence[tuple[str, Usage]]) -> Iterator[str]:
    roles = list(usages[0][1].roles_ms)
    head = ("CPU ms", *roles, "sum", "generator", "cores used by neighbours")
    rows = [
        (name, *usage.roles_ms.values(), round(sum(usage.roles_ms.values()), 1), usage.generator_ms, usage.neighbours_cores)
        for name, usage in usages
    ]
    yield from _table(head, rows)


def _percentiles(latency: Latency) -> tuple[float, float, float]:
    return latency.p50_ms, latency.p95_ms, latency.p99_ms


def _seconds(latency: Latency) -> tuple[float, ...]:
    return tuple(round(taken_ms / 1_000, 2) for taken_ms in _percentiles(latency))


def _short(latency: Latency) -> str:
    return f"{latency.p50_ms:.0f}/{latency.p95_ms:.0f}"
