"""Commands that the chain carries out: accept, wait for the outcome as long as the caller likes, answer what is known then."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace

from api import idempotency, present, problems
from api.answers import API_PREFIX, Answer, success
from api.call import Call
from offerhub.commands.order_facts import Accepted
from offerhub.storage import operations, orders
from offerhub.storage.operations import OperationRecord
from offerhub.storage.unit_of_work import Transaction

# The poll is for the time Redis or the relay is away; normally the hub hears of the outcome first.
_POLL_S = 1.0


@dataclass(frozen=True)
class Command:
    """``accept`` is the command; ``status_when_done`` is 201 for what creates, else 200."""

    accept: Callable[[Transaction], Awaitable[Accepted]]
    status_when_done: int = 200


async def run_operation(call: Call, command: Command) -> Answer:
    """The whole of ``api.md`` §3 for an order's operation."""

    async def work(transaction: Transaction) -> Answer:
        return _promise(await command.accept(transaction))

    answer = await idempotency.run(call, work, idempotency.WEEK)
    if answer.operation_id is None:
        return answer
    known = await _wait(call, answer.operation_id)
    if known is None or known.operation.finished_at is None:
        return replace(_promise(known), replayed=answer.replayed) if known else answer
    outcome = _outcome(call, known, command.status_when_done)
    await idempotency.make_final(call, answer.operation_id, outcome)
    return replace(outcome, replayed=answer.replayed)


async def _wait(call: Call, operation_id: str) -> Accepted | None:
    """Order and operation as they are when the operation is finished or the caller's patience ends. No connection is held meanwhile."""
    loop = asyncio.get_running_loop()
    until = loop.time() + call.wait_s
    hub = call.services.hub
    with hub.watch(operation_id) as heard:
        while True:
            heard.clear()
            known = await _look(call, operation_id)
            left_s = until - loop.time()
            if known is None or known.operation.finished_at is not None or left_s <= 0 or hub.stopping:
                return known
            with suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), min(_POLL_S, left_s))


async def _look(call: Call, operation_id: str) -> Accepted | None:
    async with call.services.database.reading() as reader:
        operation = await operations.get(reader, operation_id)
        order = await orders.get(reader, operation.resource_id) if operation else None
    return Accepted(order, operation) if order and operation else None


def _promise(accepted: Accepted) -> Answer:
    location = f"{API_PREFIX}/operations/{accepted.operation.id}"
    return Answer(202, _body(accepted), location, accepted.operation.id)


def _outcome(call: Call, known: Accepted, status_when_done: int) -> Answer:
    if known.operation.error is not None:
        refusal = problems.of_operation(known.operation.id, known.operation.error)
        return Answer(problems.status_of(refusal.code), problems.envelope(refusal, call.request_id))
    location = f"{API_PREFIX}/orders/{known.order.id}" if status_when_done == 201 else None
    return Answer(status_when_done, _body(known), location)


def _body(accepted: Accepted) -> dict[str, object]:
    operation: OperationRecord = accepted.operation
    return {**success(present.order(accepted.order)), "operation": present.operation(operation)}
