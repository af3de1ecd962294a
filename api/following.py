"""Commands that the chain carries out: accept, wait for the outcome as long as the caller likes, answer what is known then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Protocol

from api import idempotency, present, problems
from api.answers import API_PREFIX, Answer, bare, success
from api.call import Call
from offerhub.commands.quotes import Quote, quote_operation, quote_withdrawal
from offerhub.storage import disputes, operations, orders, withdrawals
from offerhub.storage.operations import OperationRecord
from offerhub.storage.unit_of_work import Transaction

# The poll is for the time Redis or the relay is away; normally the hub hears of the outcome first.
_POLL_S = 1.0


class Accepted(Protocol):
    """What a command answers whose work the chain has to do."""

    @property
    def resource(self) -> Any: ...  # noqa: ANN401 - a record that the resource's own functions read and show

    @property
    def operation(self) -> OperationRecord: ...


@dataclass(frozen=True)
class Resource:
    """What operations are about: how one is read and shown, and the path below which it is found."""

    path: str
    read: Callable[[Transaction, OperationRecord], Awaitable[Any]]
    show: Callable[[Any], dict[str, Any]]
    quote: Callable[[Any], Quote]


async def _order(reader: Transaction, operation: OperationRecord) -> Any:  # noqa: ANN401 - see Accepted
    return await orders.get(reader, operation.resource_id)


async def _dispute(reader: Transaction, operation: OperationRecord) -> Any:  # noqa: ANN401 - see Accepted
    return await disputes.get(reader, str(operation.subject.dispute_id))


async def _withdrawal(reader: Transaction, operation: OperationRecord) -> Any:  # noqa: ANN401 - see Accepted
    return await withdrawals.get(reader, operation.resource_id)


def _quote_order(accepted: Any) -> Quote:  # noqa: ANN401 - see Accepted
    return quote_operation(accepted.order, accepted.operation)


ORDER = Resource("orders", _order, lambda order: success(present.order(order)), _quote_order)
DISPUTE = Resource("disputes", _dispute, lambda dispute: success(present.dispute(dispute)), _quote_order)
WITHDRAWAL = Resource(
    "withdrawals",
    _withdrawal,
    lambda withdrawal: bare(present.withdrawal(withdrawal)),
    lambda accepted: quote_withdrawal(accepted.resource),
)


@dataclass(frozen=True)
class Command:
    """``accept`` is the command; ``status_when_done`` is 201 for what creates, else 200; ``keep`` is for the key's answer."""

    accept: Callable[[Transaction], Awaitable[Accepted]]
    status_when_done: int = 200
    about: Resource = ORDER
    keep: timedelta = idempotency.WEEK


@dataclass(frozen=True)
class _Known:
    """Resource and operation at one moment."""

    about: Resource
    record: Any
    operation: OperationRecord

    @property
    def body(self) -> dict[str, Any]:
        return {**self.about.show(self.record), "operation": present.operation(self.operation)}


async def run_operation(call: Call, command: Command) -> Answer:
    """The whole of ``api.md`` §3; or the quote, when the caller only wants to know."""
    if call.dry_run:

        async def judge(transaction: Transaction) -> Quote:
            return command.about.quote(await command.accept(transaction))

        return await rehearse(call, judge)

    async def work(transaction: Transaction) -> Answer:
        accepted = await command.accept(transaction)
        return _promise(_Known(command.about, accepted.resource, accepted.operation))

    answer = await idempotency.run(call, work, command.keep)
    return await follow(call, answer, command.about, command.status_when_done)


async def rehearse(call: Call, judge: Callable[[Transaction], Awaitable[Quote]]) -> Answer:
    """Run the command with all its checks, answer what it would do, and undo it."""
    async with call.services.database.rehearsal(call.context) as transaction:
        quote = await judge(transaction)
    return Answer(200, success(present.quote(quote)))


async def follow(call: Call, answer: Answer, about: Resource, status_when_done: int) -> Answer:
    """The outcome of a promise, or the promise as it stands when the caller's patience ends; any other answer as it is."""
    if answer.operation_id is None:
        return answer
    known = await _wait(call, answer.operation_id, about)
    if known is None or known.operation.finished_at is None:
        return replace(_promise(known), replayed=answer.replayed) if known else answer
    final = await idempotency.make_final(call, answer.operation_id, _outcome(call, known, status_when_done))
    return replace(final, replayed=answer.replayed)


async def _wait(call: Call, operation_id: str, about: Resource) -> _Known | None:
    """Resource and operation as they are when the operation is finished or the caller's patience ends. No connection is held meanwhile."""
    loop = asyncio.get_running_loop()
    until = loop.time() + call.wait_s
    hub = call.services.hub
    with hub.watch(operation_id) as heard:
        while True:
            heard.clear()
            known = await _look(call, operation_id, about)
            left_s = until - loop.time()
            if known is None or known.operation.finished_at is not None or left_s <= 0 or hub.stopping:
                return known
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), min(_POLL_S, left_s))


async def _look(call: Call, operation_id: str, about: Resource) -> _Known | None:
    async with call.services.database.reading() as reader:
        operation = await operations.get(reader, operation_id)
        record = await about.read(reader, operation) if operation else None
    return _Known(about, record, operation) if record and operation else None


def _promise(known: _Known) -> Answer:
    location = f"{API_PREFIX}/operations/{known.operation.id}"
    return Answer(202, known.body, location, known.operation.id)


def _outcome(call: Call, known: _Known, status_when_done: int) -> Answer:
    if known.operation.error is not None:
        refusal = problems.of_operation(known.operation.id, known.operation.error)
        return Answer(problems.status_of(refusal.code), problems.envelope(refusal, call.request_id))
    location = f"{API_PREFIX}/{known.about.path}/{known.record.id}" if status_when_done == 201 else None
    return Answer(status_when_done, known.body, location)
