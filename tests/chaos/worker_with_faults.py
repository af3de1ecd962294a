"""``worker.py`` as it is, with sabotage around every activity.

It also watches a rule of the house: nobody waits for the network while a database transaction is open.
"""

from __future__ import annotations

import asyncio
import os
import signal
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import temporalio.service
from redis.asyncio import Redis
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor, Worker

import worker
from offerhub.domain.context import Context
from offerhub.storage.unit_of_work import Database, Transaction
from tests.chaos.cases import FOLDER_VARIABLE, CaseFolder, Mode, Place

Run = Callable[[], Awaitable[Any]]
# An activity that may take longer than this never ends by itself: it is interrupted where another would have ended.
ENDLESS = timedelta(hours=1)
INTERRUPTED_AFTER_S = 2.0
LATE_S = 3.0
_WATCHED: tuple[tuple[type, str], ...] = (
    (httpx.AsyncClient, "send"),
    (Redis, "execute_command"),
    (temporalio.service._BridgeServiceClient, "_rpc_call"),
)
_in_transaction: ContextVar[bool] = ContextVar("in_transaction", default=False)


class Sabotaged(Exception):
    pass


class Sabotage(Interceptor):
    def __init__(self, folder: CaseFolder) -> None:
        self._folder = folder

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        return _Saboteur(next, self._folder)


class _Saboteur(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, folder: CaseFolder) -> None:
        super().__init__(inner)
        self._folder = folder

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        info = activity.info()
        place = Place(str(info.workflow_type), info.activity_type, _action(input))
        mode = self._folder.claim(place)

        async def run() -> Any:
            return await super(_Saboteur, self).execute_activity(input)

        if mode is None:
            return await run()
        if mode in (Mode.HOLD_BEFORE, Mode.HOLD_AFTER):
            return await _held(run, self._folder.hold(place, mode), before=mode is Mode.HOLD_BEFORE)
        return await _WAYS[mode](run)


async def _held(run: Run, marker: Path, *, before: bool) -> Any:
    """For as long as the test leaves the marker there."""
    result = None if before else await run()
    while marker.exists():  # noqa: ASYNC240 - a file tells nobody of its end
        await asyncio.sleep(0.02)
        if not activity.info().is_local:
            activity.heartbeat()
    return await run() if before else result


async def _fail_before(_run: Run) -> Any:
    raise Sabotaged("before it began")


async def _fail_after(run: Run) -> Any:
    await _to_its_end(run)
    raise Sabotaged("after it was done")


async def _time_out_after(run: Run) -> Any:
    result = await _to_its_end(run)
    await asyncio.sleep(_patience_s() + LATE_S)
    return result


async def _twice(run: Run) -> Any:
    await _to_its_end(run)
    return await run()


async def _two_at_once(run: Run) -> Any:
    """Of two that ran at once one may have found the other's work done; what counts is that no harm came of it."""
    results = await asyncio.gather(run(), run(), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if len(failures) == len(results):
        raise failures[0]
    return next(result for result in results if not isinstance(result, BaseException))


async def _kill_before(_run: Run) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


async def _kill_after(run: Run) -> Any:
    await _to_its_end(run)
    os.kill(os.getpid(), signal.SIGKILL)


_WAYS: dict[Mode, Callable[[Run], Awaitable[Any]]] = {
    Mode.FAIL_BEFORE: _fail_before,
    Mode.FAIL_AFTER: _fail_after,
    Mode.TIME_OUT_AFTER: _time_out_after,
    Mode.TWICE: _twice,
    Mode.TWO_AT_ONCE: _two_at_once,
    Mode.KILL_BEFORE: _kill_before,
    Mode.KILL_AFTER: _kill_after,
}


def _action(input: ExecuteActivityInput) -> str:  # noqa: A002
    """Intents are called ``<operation>/<action>[:<milestone>]`` or ``<kind>/<account>/<action>``."""
    intent_id = next((str(argument.intent_id) for argument in input.args if hasattr(argument, "intent_id")), "")
    return intent_id.rpartition("/")[2].partition(":")[0]


def _patience_s() -> float:
    info = activity.info()
    limits = [limit for limit in (info.heartbeat_timeout, info.start_to_close_timeout) if limit]
    return min(limits).total_seconds()


async def _to_its_end(run: Run) -> Any:
    whole = activity.info().start_to_close_timeout
    if whole is None or whole < ENDLESS:
        return await run()
    running = asyncio.ensure_future(run())
    await asyncio.wait([running], timeout=INTERRUPTED_AFTER_S)
    if running.done():
        return running.result()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return None


def _watch_transactions(folder: CaseFolder) -> None:
    """Whoever calls the network inside a transaction is reported to the test."""
    original = Database.transaction

    @asynccontextmanager
    async def transaction(self: Database, context: Context) -> AsyncIterator[Transaction]:
        async with original(self, context) as opened:
            token = _in_transaction.set(True)
            try:
                yield opened
            finally:
                _in_transaction.reset(token)

    Database.transaction = transaction  # type: ignore[method-assign]
    for owner, name in _WATCHED:
        setattr(owner, name, _watched(getattr(owner, name), f"{owner.__name__}.{name}", folder))


def _watched(original: Callable[..., Awaitable[Any]], name: str, folder: CaseFolder) -> Callable[..., Awaitable[Any]]:
    async def call(*arguments: Any, **named: Any) -> Any:
        if _in_transaction.get():
            folder.violation(f"{name} inside a database transaction:\n{''.join(traceback.format_stack(limit=12))}")
        return await original(*arguments, **named)

    return call


def main() -> None:
    folder = CaseFolder(Path(os.environ[FOLDER_VARIABLE]))
    _watch_transactions(folder)

    def sabotaged_worker(*arguments: Any, interceptors: list[Interceptor], **named: Any) -> Worker:
        return Worker(*arguments, interceptors=[Sabotage(folder), *interceptors], **named)

    setattr(worker, "Worker", sabotaged_worker)  # noqa: B010 - the composition stays as it is but for this
    worker.main()
