"""Around every activity: failures that read as sentences in the operator's UI, and heartbeats while it works."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import timedelta
from typing import Any, NoReturn

from temporalio import activity
from temporalio.exceptions import ApplicationError, CancelledError
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from offerhub.custody.errors import CustodyError
from offerhub.domain.errors import DomainError, ErrorCode, IntentMismatchError, LedgerMismatchError, OutOfTurnError, Retry
from offerhub.storage.unit_of_work import database_failure

_HEARTBEATS_PER_TIMEOUT = 4


class StartOverError(Exception):
    """The envelope in hand has lost its turn or its time. Nothing was signed; the step begins again."""


class WaitingError(Exception):
    """Nothing is wrong; it is just not our turn yet."""

    def __init__(self, sentence: str, retry_after_s: int = 1) -> None:
        super().__init__(sentence)
        self.retry_after_s = retry_after_s


class FailureInterceptor(Interceptor):
    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002 - the SDK's name
        return _Readable(next)


class _Readable(ActivityInboundInterceptor):
    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002, ANN401 - the SDK's signature
        beating = _start_heartbeats()
        try:
            return await super().execute_activity(input)
        except (ApplicationError, CancelledError, asyncio.CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, the operator must be able to read it
            _raise_readable(error)
        finally:
            if beating is not None:
                beating.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await beating


def _start_heartbeats() -> asyncio.Task[None] | None:
    """Only for activities that promised them: a dead worker is then noticed within seconds."""
    timeout = activity.info().heartbeat_timeout
    if activity.info().is_local or not timeout:
        return None
    return asyncio.create_task(_beat(timeout.total_seconds() / _HEARTBEATS_PER_TIMEOUT))


async def _beat(interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        activity.heartbeat()


def _raise_readable(error: Exception) -> NoReturn:
    match error:
        case StartOverError() | OutOfTurnError():
            raise ApplicationError(str(error), type="START_OVER", non_retryable=True) from None
        case WaitingError():
            raise _later(str(error), "WAITING", error.retry_after_s) from None
        case IntentMismatchError():
            sentence = f"The envelope offered for signing is not the one our order calls for: {error}"
            raise ApplicationError(sentence, type=ErrorCode.PROVIDER_ERROR, non_retryable=True) from None
        case LedgerMismatchError():
            raise ApplicationError(str(error), type="LEDGER_MISMATCH", non_retryable=True) from None
        case DomainError():
            final = error.retry is Retry.NEVER
            if final:
                raise ApplicationError(error.message, error.details, type=error.code, non_retryable=True) from None
            raise _later(error.message, error.code, getattr(error, "retry_after_s", None)) from None
        case CustodyError():
            raise ApplicationError(str(error), type="CUSTODY") from None
    database_sentence = database_failure(error)
    if database_sentence is not None:
        raise ApplicationError(database_sentence, type="DATABASE") from None
    raise ApplicationError(f"{type(error).__name__}: {error}", type=type(error).__name__) from error


def _later(sentence: str, kind: str, retry_after_s: int | None) -> ApplicationError:
    delay = timedelta(seconds=retry_after_s) if retry_after_s else None
    return ApplicationError(sentence, type=kind, next_retry_delay=delay)
