"""Long histories: the workflows of orders and disputes go on in a new run, with what waits in their inbox and what they showed.

A Temporal server of their own calls every history long after a few events.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypeVar

import httpx
import pytest
import pytest_asyncio
from temporalio.api.common.v1 import Payload
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.converter import DataConverter

from offerhub.commands.dispute_facts import AcceptedDispute, DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, open_dispute
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.messages import DisputeInput, OrderInput, OrderMessage
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision
from offerhub.storage import users
from offerhub.storage.orders import OrderRecord
from offerhub.storage.users import UserRecord
from tests.e2e.rig import Rig
from tests.services import PostgresServer, SandboxServer, TestServices, start_temporal
from workflows.attributes import ORDER_STATUS

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.endurance]

AMOUNT = 120_000_000
LONG_EVENTS = 12
Input = TypeVar("Input", OrderInput, DisputeInput)
UNKNOWN = "op_00000000000000000000000000"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def rig(
    services: TestServices,
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_server: str,
    sandbox: SandboxServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Rig]:
    temporal = start_temporal(services, "--dynamic-config-value", f"limit.historyCount.suggestContinueAsNew={LONG_EVENTS}")
    with postgres_server.database(migrated_template) as url:
        rig = Rig(url, redis_server, temporal, sandbox, tmp_path_factory.mktemp("long"))
        try:
            await rig.start_worker()
            yield rig
        finally:
            await rig.close()


async def test_an_order_carries_out_what_came_while_its_run_was_ending(rig: Rig) -> None:
    order = await _created(rig)
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order.id}")
    async with _deaf_index(rig):
        await rig.succeeded(await rig.accept_funding(order.id))
        await rig.until(lambda: rig.has_scheduled(handle.id, "tell_index"))
        ending = await _run(rig, handle)
        release = await rig.accept_release(order.id)
        await rig.until(lambda: _was_signalled(ending, release.operation.id))
        await rig.succeeded(release)
    left = await _handed_over(ending, OrderInput)
    assert release.operation.id in {message.operation_id for message in left.pending}
    assert await handle.result() == "RELEASED"
    assert len(await rig.attempts_of(release.operation.id)) == 3
    await rig.assert_books_equal_chain(*(await _parties(rig, order)))


async def test_an_order_still_shows_what_went_wrong_before(rig: Rig) -> None:
    order = await _created(rig)
    handle = (await rig.temporal()).get_workflow_handle(f"order/{order.id}")
    wrong = f"there is no operation {UNKNOWN}"
    await handle.signal("message", OrderMessage(order.id, UNKNOWN, "release"))

    async def is_shown() -> bool:
        return wrong in (await handle.query("state")).get("last_error", "")

    await rig.until(is_shown)
    for _event in range(LONG_EVENTS):
        await handle.signal("message")

    async def is_handed_over() -> bool:
        begun = (await (await _run(rig, handle)).fetch_history()).events[0].workflow_execution_started_event_attributes
        return wrong in (await _read(begun.input.payloads, OrderInput)).last_error

    await rig.until(is_handed_over)
    await rig.until(is_shown)

    # The server does not hand over the summary that the first run was started with: the details say what the order is.
    async def says_what_it_is() -> bool:
        return "**ESCROW_FUNDING** · Logo design" in str(await handle.query("__temporal_workflow_metadata"))

    await rig.until(says_what_it_is)
    assert (await handle.describe()).typed_search_attributes[ORDER_STATUS] == "ESCROW_FUNDING"


async def test_a_dispute_carries_out_a_decision_that_came_while_its_run_was_ending(rig: Rig) -> None:
    order = await _created(rig)
    async with _deaf_index(rig):
        dispute_id, ending = await _disputed(rig, order)
        decided = await _decided(rig, dispute_id)
        await rig.until(lambda: _was_signalled(ending, decided.operation.id))
        await rig.succeeded(decided)
    left = await _handed_over(ending, DisputeInput)
    assert decided.operation.id in {message.operation_id for message in left.pending}
    assert await (await _of_dispute(rig, dispute_id)).result() == "RESOLVED"
    await rig.closed(order.id, "REFUNDED")
    await rig.assert_books_equal_chain(*(await _parties(rig, order)))


async def test_a_dispute_still_shows_the_decision_it_has_refused(rig: Rig) -> None:
    order = await _created(rig)
    async with _deaf_index(rig):
        dispute_id, ending = await _disputed(rig, order)
        await ending.signal("decide", "split it")
    await rig.until(lambda: _has_ended(ending))
    handle = await _of_dispute(rig, dispute_id)

    async def is_shown() -> bool:
        return "a decision is one JSON object" in (await handle.query("state")).get("last_refusal", "")

    await rig.until(is_shown)
    await rig.succeeded(await _decided(rig, dispute_id))
    assert await handle.result() == "RESOLVED"


async def _created(rig: Rig) -> OrderRecord:
    """An order with its contract, not funded."""
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(order.id))
    return order


async def _parties(rig: Rig, order: OrderRecord) -> tuple[UserRecord, UserRecord]:
    async with rig.database.reading() as reader:
        found = [await users.get(reader, user_id) for user_id in (order.buyer_id, order.seller_id)]
    buyer, seller = found
    assert buyer is not None
    assert seller is not None
    return buyer, seller


async def _disputed(rig: Rig, order: OrderRecord) -> tuple[str, WorkflowHandle[Any, Any]]:
    """A dispute whose contract is frozen, and its run, which tells the index of it before it ends."""
    await rig.succeeded(await rig.accept_funding(order.id))
    wanted = OpenDispute(order.id, Party.BUYER, "QUALITY")
    opened = await rig.commit(partial(open_dispute, wanted=wanted, deadlines=DisputeDeadlines()))
    await rig.succeeded(opened)
    await rig.until(lambda: rig.has_scheduled(f"dispute/{opened.dispute.id}", "tell_index"))
    return opened.dispute.id, await _run(rig, await _of_dispute(rig, opened.dispute.id))


async def _decided(rig: Rig, dispute_id: str) -> AcceptedDispute:
    return await rig.commit(partial(resolve_dispute, wanted=ResolveDispute(dispute_id, Decision.FULL_REFUND, "ana")))


async def _of_dispute(rig: Rig, dispute_id: str) -> WorkflowHandle[Any, Any]:
    return (await rig.temporal()).get_workflow_handle(f"dispute/{dispute_id}")


async def _run(rig: Rig, handle: WorkflowHandle[Any, Any]) -> WorkflowHandle[Any, Any]:
    """The run of this moment, whatever follows it."""
    return (await rig.temporal()).get_workflow_handle(handle.id, run_id=(await handle.describe()).run_id)


@asynccontextmanager
async def _deaf_index(rig: Rig) -> AsyncIterator[None]:
    """Inside, Trustless Work's index cannot be told of anything: a run that has something to tell ends only if there is something to do."""
    async with httpx.AsyncClient(base_url=rig.sandbox.url) as control:
        answer = await control.post("/control/faults", json={"kind": "tw_rate_limit", "path": "indexer", "retryAfterSeconds": 6})
        fault = answer.raise_for_status().json()
        yield
        (await control.delete(f"/control/faults/{fault['id']}")).raise_for_status()


async def _was_signalled(run: WorkflowHandle[Any, Any], words: str) -> bool:
    history = await run.fetch_history()
    return any(words in str(event.workflow_execution_signaled_event_attributes) for event in history.events)


async def _has_ended(run: WorkflowHandle[Any, Any]) -> bool:
    return (await run.describe()).status is WorkflowExecutionStatus.CONTINUED_AS_NEW


async def _handed_over(run: WorkflowHandle[Any, Any], kind: type[Input]) -> Input:
    last = (await run.fetch_history()).events[-1]
    return await _read(last.workflow_execution_continued_as_new_event_attributes.input.payloads, kind)


async def _read(given: Sequence[Payload], kind: type[Input]) -> Input:
    read: list[Input] = await DataConverter.default.decode(given, [kind])
    return read[0]
