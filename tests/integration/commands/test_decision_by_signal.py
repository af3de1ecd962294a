"""What the dispute's workflow does for somebody who signalled a decision: the command of the API, however often the activity runs."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from temporalio.testing import ActivityEnvironment

from activities.disputes import DisputeActivities
from offerhub.commands.maintenance import end_drain, start_drain
from offerhub.domain.messages import DecisionResult, DecisionSignal, DisputeDecision
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import Decision, DisputeState
from offerhub.storage import operations
from tests.integration.commands.deal import Deal
from tests.integration.commands.disputing import decide, read
from tests.integration.commands.market import Market

SPLIT = DecisionSignal("SPLIT", "60.00", "20.00", "ana", "half of it")
_RESOLUTIONS = text("SELECT count(*) AS many FROM operations WHERE kind = 'dispute_resolution'")


async def disputed(market: Market) -> tuple[Deal, str]:
    deal = await Deal.funded(market)
    accepted = await deal.dispute()
    await deal.finish(accepted)
    return deal, accepted.dispute.id


async def signal(market: Market, dispute_id: str, decision: DecisionSignal, key: str = "decide_1") -> DecisionResult:
    result: DecisionResult = await ActivityEnvironment().run(
        DisputeActivities(market.database).decide_dispute, DisputeDecision(dispute_id, decision, key)
    )
    return result


async def test_it_is_the_same_command_with_the_name_of_who_decided(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    result = await signal(market, dispute_id, SPLIT)
    assert (result.refusal, result.dispute.state, result.dispute.resolved_by) == ("", DisputeState.RESOLVING, "ana")
    dispute = await read(deal, dispute_id)
    assert (dispute.decision, dispute.release_amount, dispute.refund_amount) == (Decision.SPLIT, 600_000_000, 200_000_000)
    async with market.database.reading() as reader:
        operation = await operations.last(reader, deal.order_id, OperationKind.DISPUTE_RESOLUTION)
    assert operation is not None
    assert (operation.requested_by, operation.workflow_id) == ("signal:ana", f"dispute/{dispute_id}")


async def test_run_twice_or_two_at_once_it_is_one_decision(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    results = [await signal(market, dispute_id, SPLIT)]
    results += await asyncio.gather(signal(market, dispute_id, SPLIT), signal(market, dispute_id, SPLIT))
    assert [result.refusal for result in results] == [""] * 3
    assert await _resolutions(market) == 1
    # Even when it has been refused by the contract meanwhile, the same call is not a new decision.
    async with market.database.reading() as reader:
        operation = await operations.last(reader, deal.order_id, OperationKind.DISPUTE_RESOLUTION)
    await deal.refuse(type("Accepted", (), {"operation": operation}))
    again = await signal(market, dispute_id, SPLIT)
    assert (again.refusal, again.dispute.state) == ("", DisputeState.UNDER_REVIEW)
    assert await _resolutions(market) == 1


async def test_the_same_words_with_another_key_are_another_decision(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    await decide(deal, dispute_id, Decision.FULL_REFUND)
    late = await signal(market, dispute_id, SPLIT, "decide_2")
    assert late.refusal == "The dispute is RESOLVING; this needs OPEN or UNDER_REVIEW."
    assert (await read(deal, dispute_id)).decision is Decision.FULL_REFUND


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (DecisionSignal("split", "60.00", "20.00", "ana"), "decision must be one of FULL_RELEASE, FULL_REFUND, SPLIT"),
        (DecisionSignal("", "", "", "ana"), "decision must be one of FULL_RELEASE, FULL_REFUND, SPLIT"),
        (DecisionSignal("SPLIT", "60.0", "20.00", "ana"), "An amount is a decimal string"),
        (DecisionSignal("SPLIT", "60.00", "20.01", "ana"), "sum to 80.01, the contract holds 80.00"),
        (DecisionSignal("FULL_REFUND", "", "79.00", "ana"), "leave the amounts out"),
    ],
)
async def test_a_bad_one_is_a_sentence_and_changes_nothing(market: Market, given: DecisionSignal, sentence: str) -> None:
    deal, dispute_id = await disputed(market)
    before = await read(deal, dispute_id)
    result = await signal(market, dispute_id, given)
    assert sentence in result.refusal
    assert await read(deal, dispute_id) == before
    assert await _resolutions(market) == 0


async def _resolutions(market: Market) -> int:
    async with market.database.reading() as reader:
        row = await reader.first(_RESOLUTIONS)
    assert row is not None
    return int(row["many"])


async def test_a_drained_instance_decides_nothing_by_signal_either(market: Market) -> None:
    deal, dispute_id = await disputed(market)
    await deal.run(lambda transaction: start_drain(transaction, "an upgrade"))
    refused = await signal(market, dispute_id, SPLIT)
    assert refused.refusal.startswith("Maintenance: an upgrade.")
    assert await _resolutions(market) == 0
    await deal.run(end_drain)
    assert (await signal(market, dispute_id, SPLIT)).refusal == ""
