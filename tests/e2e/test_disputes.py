"""Disputes on the real parts: frozen at once, decided by command or by signal, by exactly one of those who decide."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
from typing import Any

import pytest
import pytest_asyncio
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowHandle

from devstack.binaries import temporal_program
from offerhub.commands.dispute_facts import AcceptedDispute, DisputeDeadlines
from offerhub.commands.disputes import OpenDispute, assign_dispute, open_dispute
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.plans import Party
from offerhub.domain.states import Decision
from offerhub.storage import disputes
from offerhub.storage.disputes import DisputeRecord
from offerhub.storage.orders import OrderRecord
from tests.e2e.contracts import assert_paid, gift, shares, stranger, trade
from tests.e2e.rig import Rig

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

AMOUNT = 800_000_333
SPLIT = {"decision": "SPLIT", "releaseAmount": "60.0000001", "refundAmount": "20.0000332", "by": "ana", "note": "half the work was done"}
TO_SELLER, TO_BUYER = 600_000_001, 200_000_332


async def test_dispute_of_the_seller_is_frozen_and_decided_by_command(rig: Rig) -> None:
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.SELLER)
    assert opened.operation.workflow_id == f"dispute/{opened.dispute.id}"
    frozen = await rig.succeeded(opened)
    disputed = await rig.read_order(order.id)
    assert (disputed.state, disputed.the_escrow.state) == ("DISPUTED", "DISPUTED")
    assert [disputed.the_escrow.dispute_hash] == frozen.transaction_hashes
    await rig.commit(lambda t: assign_dispute(t, opened.dispute.id, "ben", "ask for the files"))
    await rig.until(lambda: _shows(rig, opened.dispute.id, "state", "UNDER_REVIEW"))
    wanted = ResolveDispute(opened.dispute.id, Decision.FULL_RELEASE, "ben")
    await rig.succeeded(await rig.commit(lambda t: resolve_dispute(t, wanted)))
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 0))
    client = await rig.temporal()
    assert await client.get_workflow_handle(f"dispute/{opened.dispute.id}").result() == "RESOLVED"
    assert await client.get_workflow_handle(f"order/{order.id}").result() == "RELEASED"


async def test_split_by_signal(rig: Rig) -> None:
    """The UI's signal form and ``temporal workflow signal`` send exactly this."""
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.BUYER)
    handle = await _workflow(rig, opened)
    # While the contract is being frozen the decision waits for its turn.
    await handle.signal("decide", SPLIT)
    assert await handle.result() == "RESOLVED"
    closed = await rig.closed(order.id, "SPLIT")
    await assert_paid(rig, closed, parties, shares(TO_SELLER, TO_BUYER))
    dispute = await _read(rig, opened.dispute.id)
    assert (dispute.state, dispute.resolved_by, dispute.resolution_note) == ("RESOLVED", "ana", "half the work was done")
    assert dispute.resolution_hash == closed.the_escrow.release_hash
    described = await handle.describe()
    attributes = {pair.key.name: pair.value for pair in described.typed_search_attributes}
    assert (attributes["DisputeStatus"], attributes["OrderId"], attributes["OperationKind"]) == ("RESOLVED", order.id, "dispute_resolution")
    summaries = await rig.activity_summaries(handle.id)
    assert f"freeze escrow · buyer {parties[0].id} · 80.0000333 USDC" in summaries
    plan = await handle.query("plan")
    assert [step["state"] for step in plan] == ["applied", "applied"]


async def test_the_command_that_the_workflow_shows_decides_as_it_stands(rig: Rig) -> None:
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.BUYER)
    await rig.succeeded(opened)
    handle = await _workflow(rig, opened)
    await rig.until(lambda: _shows(rig, opened.dispute.id, "waits_for", "a decision"))
    metadata = await handle.query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    assert f"- Order: `{order.id}`" in metadata.current_details
    [command] = re.findall(r"^temporal [^`]*", metadata.current_details, re.MULTILINE)
    words = shlex.split(command.replace("\\\n", " "))[1:]
    reach = ["--address", rig.temporal_address, "--namespace", rig.namespace]
    done = await asyncio.to_thread(subprocess.run, [str(temporal_program()), *words, *reach], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    await assert_paid(rig, await rig.closed(order.id, "REFUNDED"), parties, shares(0, AMOUNT))


# No two neighbors are refused with the same sentence, so that each refusal can be told from the one before.
@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (["SPLIT"], "a decision is one JSON object"),
        ([{}], '"by" must say who decides'),
        ([], "a decision is one JSON object"),
        ([{**SPLIT, "releaseAmount": "60"}], "An amount is a decimal string"),
        ([SPLIT, SPLIT], "a decision is one JSON object"),
        ([{**SPLIT, "by": " "}], '"by" must say who decides'),
        ([[SPLIT]], "a decision is one JSON object"),
        ([{**SPLIT, "releaseAmount": "-60.00"}], "An amount is a decimal string"),
        ([None], "a decision is one JSON object"),
        ([{**SPLIT, "verdict": "x\x00\n"}], "unknown field 'verdict'"),
        ([{**SPLIT, "releaseAmount": 60.0000001}], '"releaseAmount" must be a string in quotes'),
        ([{**SPLIT, "note": "x" * 501}], '"note" has more than 500 characters'),
        ([{**SPLIT, "note": "\x00"}], '"note" is no text'),
        ([{**SPLIT, "by": "\ud800"}], '"by" is no text'),
        ([{**SPLIT, "decision": "full_release"}], "decision must be one of FULL_RELEASE, FULL_REFUND, SPLIT"),
        ([{**SPLIT, "releaseAmount": "60.0000002"}], "sum to 80.0000334, the contract holds 80.0000333"),
        ([{**SPLIT, "decision": "FULL_RELEASE"}], "leave the amounts out"),
        ([{"decision": "SPLIT", "by": "ana"}], "A SPLIT needs releaseAmount and refundAmount"),
    ],
)
async def test_bad_signal_is_shown_and_changes_nothing(rig: Rig, held: AcceptedDispute, sent: list[object], sentence: str) -> None:
    handle = await _workflow(rig, held)
    refused_before = (await handle.query("state"))["last_refusal"]
    await handle.signal("decide", args=sent)

    async def refused() -> str:
        now: str = (await handle.query("state"))["last_refusal"]
        return now if now != refused_before else ""

    assert sentence in await rig.until(refused)
    dispute = await _read(rig, held.dispute.id)
    assert (dispute.state, dispute.decision) == ("OPEN", None)
    assert (await rig.read_order(held.order.id)).operation is None


async def test_of_two_decisions_one_wins_and_the_other_is_shown(rig: Rig) -> None:
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.BUYER)
    await rig.succeeded(opened)
    handle = await _workflow(rig, opened)
    await asyncio.gather(handle.signal("decide", SPLIT), handle.signal("decide", {"decision": "FULL_RELEASE", "by": "ben"}))
    assert await handle.result() == "RESOLVED"
    dispute = await _read(rig, opened.dispute.id)
    loser = {"ana": "ben", "ben": "ana"}[str(dispute.resolved_by)]
    refusal = (await handle.query("state"))["last_refusal"]
    assert f"by {loser}: The dispute is RES" in refusal
    is_split = dispute.resolved_by == "ana"
    closed = await rig.closed(order.id, "SPLIT" if is_split else "RELEASED")
    await assert_paid(rig, closed, parties, shares(TO_SELLER, TO_BUYER) if is_split else shares(AMOUNT, 0))


async def test_decision_by_signal_against_one_by_command(rig: Rig) -> None:
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.BUYER)
    await rig.succeeded(opened)
    handle = await _workflow(rig, opened)
    wanted = ResolveDispute(opened.dispute.id, Decision.FULL_REFUND, "carl")
    accepted = await rig.commit(lambda t: resolve_dispute(t, wanted))
    await handle.signal("decide", SPLIT)
    await rig.succeeded(accepted)
    assert await handle.result() == "RESOLVED"
    assert "by ana: The dispute is RES" in (await handle.query("state"))["last_refusal"]
    await assert_paid(rig, await rig.closed(order.id, "REFUNDED"), parties, shares(0, AMOUNT))


async def test_gift_to_a_disputed_contract_goes_to_the_buyer_with_the_decision(rig: Rig) -> None:
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.SELLER)
    await rig.succeeded(opened)
    await gift(rig, (await rig.read_order(order.id)).the_escrow.contract_id, 7_000_001)
    await (await _workflow(rig, opened)).signal("decide", SPLIT)
    await assert_paid(rig, await rig.closed(order.id, "SPLIT"), parties, shares(TO_SELLER, TO_BUYER + 7_000_001))


async def test_gift_between_our_look_and_our_envelope_only_costs_another_envelope(rig: Rig) -> None:
    parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.BUYER)
    await rig.succeeded(opened)
    contract_id = str((await rig.read_order(order.id)).the_escrow.contract_id)
    giver = await stranger(rig, 1)
    await rig.control("ledger", {"intervalSeconds": None})
    try:
        # It waits for the next ledger, ahead of ours, and is in no balance yet.
        await giver.queue_payment_into_contract(contract_id, 1)
        wanted = ResolveDispute(opened.dispute.id, Decision.FULL_RELEASE, "ana")
        accepted = await rig.commit(lambda t: resolve_dispute(t, wanted))
        await rig.until(lambda: _is_submitted(rig, accepted.operation.id))
    finally:
        await rig.control("ledger", {"intervalSeconds": 0})
    await rig.succeeded(accepted)
    assert [attempt.state for attempt in await rig.attempts_of(accepted.operation.id)] == ["REJECTED", "CONFIRMED"]
    await assert_paid(rig, await rig.closed(order.id, "RELEASED"), parties, shares(AMOUNT, 1))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def held(rig: Rig) -> AcceptedDispute:
    """One dispute that waits for a decision, for all the bad ones."""
    _parties, order = await _funded(rig)
    opened = await _dispute(rig, order.id, Party.BUYER)
    await rig.succeeded(opened)
    return opened


async def _funded(rig: Rig) -> tuple[Any, OrderRecord]:
    parties = await trade(rig, AMOUNT)
    order = await rig.order(*parties, AMOUNT)
    await rig.funded(order.id)
    return parties, order


async def _dispute(rig: Rig, order_id: str, opened_by: Party) -> AcceptedDispute:
    return await rig.commit(lambda t: open_dispute(t, OpenDispute(order_id, opened_by, "QUALITY"), DisputeDeadlines()))


async def _workflow(rig: Rig, opened: AcceptedDispute) -> WorkflowHandle[Any, Any]:
    """Of the dispute, once it runs."""
    handle = (await rig.temporal()).get_workflow_handle(f"dispute/{opened.dispute.id}")
    await rig.until(lambda: rig.has_started(handle.id))
    return handle


async def _shows(rig: Rig, dispute_id: str, name: str, value: str) -> bool:
    found = await (await rig.temporal()).get_workflow_handle(f"dispute/{dispute_id}").query("state")
    return bool(found.get(name) == value)


async def _is_submitted(rig: Rig, operation_id: str) -> bool:
    return any(attempt.state == "SUBMITTED" for attempt in await rig.attempts_of(operation_id))


async def _read(rig: Rig, dispute_id: str) -> DisputeRecord:
    async with rig.database.reading() as reader:
        found = await disputes.get(reader, dispute_id)
    assert found is not None
    return found
