"""`python -m bench`: measure a stack and write down what was found. Ends with 1 if any answer was not the one expected.

Order: life cycles, event latency, releases, deposits, then requests, because thousands of new orders keep the outbox busy for a while
afterwards. The signers, the safeguards' costs and the full database come last, each on a stack of its own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from bench import costs, deposits, release, scale, signers, sse, stack
from bench.cells import Cells, Pace
from bench.cpu import Meter, Reading
from bench.deposits import Deposits
from bench.failure import BenchFailure
from bench.history import count_events
from bench.lifecycle import Lives
from bench.machine import CHECKOUT, Machine
from bench.market import Market, open_market
from bench.report import Report
from bench.stack import Stack
from bench.target import Target

ON_ONE_STACK = ("lifecycle", "sse", "release", "deposits", "http")
PARTS = (*ON_ONE_STACK, "signers", "costs", "scale")
REQUEST_CONCURRENCIES = (1, 16, 64)
LIFE_CONCURRENCIES = (1, 8, 16)
LIVES_PER_CELL = 40
# At least as many as the most connections, so that neighbours in time never share an account.
PAIRS = 64
WARM_UP_S = 1.0
# One a second: 60 of them where a cell takes five seconds.
DEPOSITS_PER_SECOND_OF_A_CELL = 12


@dataclass(frozen=True)
class Options:
    stack: Path | None
    parts: frozenset[str]
    seconds: float
    users: int
    out: Path


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    conditions = {} if options.stack else stack.conditions()
    report = Report(datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"), Machine.here(), conditions)
    try:
        if options.parts & set(ON_ONE_STACK):
            with nullcontext(stack.given(options.stack)) if options.stack else stack.own() as under_test:
                uvloop.run(_Run(under_test, options, report).measure())
        if "signers" in options.parts:
            _signers(report)
        if "costs" in options.parts:
            _costs(report)
        if "scale" in options.parts:
            _scale(report, options.users)
    except BenchFailure as failure:
        print(f"bench: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    path = report.write(options.out)
    print(f"\n{report.markdown()}\nwritten to {path}")
    return 0


def _signers(report: Report) -> None:
    for count, escrows in signers.POOLS.items():
        _say(f"{escrows} escrows, {count} signers")
        with stack.own({"PLATFORM_SIGNERS": str(count)}) as under_test:
            report.signer_pools.append(uvloop.run(signers.measure(under_test, count, escrows)))


def _costs(report: Report) -> None:
    _say("what the safeguards cost")
    with stack.own() as under_test:
        report.costs = costs.measure(under_test)


def _scale(report: Report, users: int) -> None:
    _say(f"a database with {users} users")
    with stack.own() as under_test:
        report.scale = scale.measure(under_test.database_url, users)


class _Run:
    def __init__(self, under_test: Stack, options: Options, report: Report) -> None:
        self._stack = under_test
        self._options = options
        self._api = Target(under_test.api_url, under_test.api_key)
        self._meter = Meter(under_test.pids)
        self._report = report

    async def measure(self) -> None:
        _say(f"opening a market of {PAIRS} buyers and {PAIRS} sellers")
        market = await open_market(self._api, Target(self._stack.sandbox_url), PAIRS)
        await self._quiet("setting up the market")
        self._report.idle = await self._meter.idle()
        if "lifecycle" in self._options.parts:
            await self._lives(market)
        if "sse" in self._options.parts:
            _say("events")
            self._report.sse = await sse.measure(self._api, market, self._options.seconds * 2)
            await self._quiet("the events' orders")
        if "release" in self._options.parts:
            await self._releases(market)
        if "deposits" in self._options.parts:
            await self._deposits(market)
        if "http" in self._options.parts:
            await self._requests(market)
        await market.check_books()
        self._report.books = f"The books balance to the stroop over the {2 * PAIRS} users of this run."

    async def _lives(self, market: Market) -> None:
        lives = Lives(self._api, market, self._meter)
        for concurrency in LIFE_CONCURRENCIES:
            _say(f"{LIVES_PER_CELL} life cycles, {concurrency} at a time")
            self._report.life_cycles.append(await lives.run(concurrency, LIVES_PER_CELL))
            await self._quiet(f"the life cycles at concurrency {concurrency}")
        last = self._report.life_cycles[-1].orders
        self._report.history = await count_events(self._stack.temporal_address, self._stack.temporal_namespace, last)

    async def _releases(self, market: Market) -> None:
        _say(f"releases, {release.AT_ONCE} at a time")
        before = self._meter.read()
        self._report.releases = await release.measure(self._api, market)
        self._note_neighbours("the releases", before)
        await self._quiet("the releases")

    async def _deposits(self, market: Market) -> None:
        count = round(self._options.seconds * DEPOSITS_PER_SECOND_OF_A_CELL)
        _say(f"{count} single deposits, then {deposits.BACKLOG} at once")
        before = self._meter.read()
        latency = await deposits.measure_latency(self._api, market, count)
        self._note_neighbours("the single deposits", before)
        backlog = await deposits.measure_backlog(self._api, market, self._stack)
        self._report.deposits = Deposits(latency, backlog)
        self._stack = self._stack.as_described_now()
        self._meter = Meter(self._stack.pids)
        await self._quiet("the deposits")

    async def _requests(self, market: Market) -> None:
        cells = Cells(self._api, market, self._meter)
        for concurrency in REQUEST_CONCURRENCIES:
            _say(f"requests, {concurrency} at a time")
            self._report.cells += await cells.run(Pace(concurrency, WARM_UP_S, self._options.seconds))

    def _note_neighbours(self, during: str, before: Reading) -> None:
        self._report.notes.append(f"Neighbours used {self._meter.since(before).neighbours_cores} cores during {during}.")

    async def _quiet(self, before: str) -> None:
        if not await self._meter.until_quiet():
            self._report.notes.append(f"The stack was still busy long after {before}; what came next shared the machine with that.")


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--stack", type=Path, help="stack.json of a running stack on the sandbox; without it one is started (signers start theirs)"
    )
    parser.add_argument("--only", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long each kind of request is counted at each concurrency")
    parser.add_argument("--users", type=int, default=1_000_000, help="in the full database of the part scale; ten ledger entries each")
    parser.add_argument("--out", type=Path, default=CHECKOUT / "bench" / "results", help="folder of the results")
    given = parser.parse_args(arguments)
    parts = frozenset(given.only.split(","))
    if unknown := parts - set(PARTS):
        parser.error(f"--only knows {', '.join(PARTS)}, not {', '.join(sorted(unknown))}")
    if given.seconds <= 0:
        parser.error("--seconds must be more than 0")
    if given.users < scale.ALMOST_EMPTY_USERS:
        parser.error(f"--users must be at least {scale.ALMOST_EMPTY_USERS}")
    return Options(given.stack, parts, given.seconds, given.users, given.out)


def _say(text: str) -> None:
    print(f"bench: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
