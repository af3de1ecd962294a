"""The one runner of every request that changes something: the key, the change and the answer commit together or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta

from api import problems
from api.answers import Answer
from api.call import Call
from offerhub.domain.errors import DomainError, ErrorCode, Retry
from offerhub.storage import idempotency
from offerhub.storage.idempotency import KeptAnswer, KeyInUseError
from offerhub.storage.unit_of_work import AnswerStoredError, StoredAnswer, Transaction

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
FOR_EVER = timedelta(days=36_500)
Work = Callable[[Transaction], Awaitable[Answer]]


@dataclass
class _RefusedByDomain(Exception):
    refusal: DomainError


async def run(call: Call, work: Work, keep: timedelta = DAY) -> Answer:
    """Do the work once per idempotency key; repeated, the kept answer (``replayed``), promises of operations included.

    Refusals of the domain are raised; kept like any answer are those that waiting does not change. Raises ``IDEMPOTENCY_KEY_IN_PROGRESS``
    and ``IDEMPOTENCY_KEY_REUSED``.
    While the instance is drained, what would move money is refused with ``MAINTENANCE``, but kept answers are given.
    """
    database = call.services.database
    refusal = await _refusal(call)
    if refusal is not None:
        work = _refused_with(refusal)
    if call.idempotency_key is None:
        async with database.transaction(call.context) as transaction:
            return await work(transaction)
    try:
        async with database.transaction(call.context) as transaction:
            return await _once(call, transaction, work, keep)
    except AnswerStoredError:
        raise _in_progress() from None
    except _RefusedByDomain as refused:
        answered = await _keep_refusal(call, refused.refusal, keep)
        if answered is None:
            raise refused.refusal from None
        return answered


async def kept(call: Call) -> Answer | None:
    """The answer this request's key has already, for handlers that must ask somebody outside before they begin.

    Without one, and while the instance is drained, raises ``MAINTENANCE`` for what would move money.
    """
    found = None
    if call.idempotency_key is not None:
        async with call.services.database.transaction(call.context) as transaction:
            found = await _find(call, transaction)
    refusal = await _refusal(call)
    if found is None and refusal is not None:
        raise refusal
    return found


async def make_final(call: Call, promised_operation: str, outcome: Answer) -> Answer:
    """From now on the key is answered with the outcome of the operation instead of the promise: the first that anybody gave, returned."""
    if call.idempotency_key is None:
        return outcome
    kept = KeptAnswer(call.method, call.path, call.body_hash, outcome.status, _stored(outcome), promised_operation)
    async with call.services.database.transaction(call.context) as transaction:
        final = await idempotency.make_final(transaction, call.caller.id, call.idempotency_key, kept)
    return _read(final)


async def _refusal(call: Call) -> DomainError | None:
    return await call.services.drain.refusal() if call.moves_money else None


def _refused_with(refusal: DomainError) -> Work:
    async def refuse(_transaction: Transaction) -> Answer:
        raise refusal

    return refuse


async def _once(call: Call, transaction: Transaction, work: Work, keep: timedelta) -> Answer:
    kept = await _find(call, transaction)
    if kept is not None:
        return kept
    try:
        answer = await work(transaction)
    except DomainError as refusal:
        raise _RefusedByDomain(refusal) from refusal
    _store(call, transaction, answer, keep)
    return answer


async def _keep_refusal(call: Call, refusal: DomainError, keep: timedelta) -> Answer | None:
    """In a transaction of its own, as the refused one is rolled back. The answer of a request with the same key that got in between is
    not disturbed but returned: the refusal may be nothing but what that request has done. What waiting may change is not kept: whoever is
    told to repeat the same request with the same key must find it judged again.
    """
    if refusal.retry is not Retry.NEVER:
        return None
    status = problems.status_of(refusal.code)
    try:
        async with call.services.database.transaction(call.context) as transaction:
            answered = await _find(call, transaction)
            if answered is None:
                _store(call, transaction, Answer(status, problems.envelope(refusal, call.request_id)), keep)
    except (DomainError, AnswerStoredError):
        return None
    return answered


async def _find(call: Call, transaction: Transaction) -> Answer | None:
    key = call.idempotency_key
    assert key is not None, "only requests with a key are looked up"
    try:
        kept = await idempotency.claim(transaction, call.caller.id, key)
    except KeyInUseError:
        raise _in_progress() from None
    if kept is None:
        return None
    if (kept.method, kept.path, kept.body_hash) != (call.method, call.path, call.body_hash):
        message = f"This Idempotency-Key was used for {kept.method} {kept.path} with another path or body."
        raise DomainError(ErrorCode.IDEMPOTENCY_KEY_REUSED, message)
    return replace(_read(kept), operation_id=kept.operation_id, replayed=True)


def _in_progress() -> DomainError:
    return DomainError(ErrorCode.IDEMPOTENCY_KEY_IN_PROGRESS, "The first request with this Idempotency-Key is still running.")


def _store(call: Call, transaction: Transaction, answer: Answer, keep: timedelta) -> None:
    transaction.store_answer(
        StoredAnswer(
            caller_id=call.caller.id,
            key=call.idempotency_key or "",
            method=call.method,
            path=call.path,
            body_hash=call.body_hash,
            status=answer.status,
            response=_stored(answer),
            operation_id=answer.operation_id,
            hours=keep // timedelta(hours=1),
        )
    )


def _read(kept: KeptAnswer) -> Answer:
    return Answer(kept.status, kept.response["body"], kept.response["location"])


def _stored(answer: Answer) -> dict[str, object]:
    kept = replace(answer, body=answer.kept_body) if answer.kept_body is not None else answer
    return {"body": dict(kept.body), "location": kept.location}
