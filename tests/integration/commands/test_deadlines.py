"""What happens by itself, judged by the engine's clock: expiry, automatic release, its extension, escalation, the default decision."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from offerhub.commands.deadlines import pass_dispute_deadline, pass_order_deadline, tell_passed
from offerhub.commands.dispute_facts import DisputeDeadlines
from offerhub.commands.maintenance import end_drain, start_drain
from offerhub.commands.milestones import extend_release, request_completion
from offerhub.commands.release import request_milestone_release
from offerhub.commands.reserve import reserve_order
from offerhub.domain.errors import DomainError, ErrorCode
from offerhub.domain.messages import OrderView
from offerhub.domain.plans import OperationKind
from offerhub.domain.states import Decision, DisputeState, EscrowState, FinalStatus, MilestoneState, OrderState
from tests.integration.commands.deal import AMOUNT, Deal, Wish
from tests.integration.commands.disputing import decide, read
from tests.integration.commands.market import Market

DAY_S = 86_400
DAY = timedelta(days=1)
EXPIRING = Wish(reservation_expires_after_s=DAY_S)
RELEASING = Wish(milestones=2, auto_release_after_s=DAY_S)
IN_PARTS = Wish(parts=(100_000_000, 200_000_000, 300_000_000), auto_release_after_s=DAY_S)


async def passes(deal: Deal) -> OrderView:
    view: OrderView = await deal.do(pass_order_deadline)
    return view


async def deliver(deal: Deal, *refs: str) -> None:
    for ref in refs:
        await deal.finish(await deal.do(request_completion, ref, None))


async def auto_release_at(deal: Deal) -> datetime:
    found = (await deal.order()).auto_release_at
    assert found is not None
    return found


@pytest.mark.parametrize("state", [OrderState.FUNDS_RESERVED, OrderState.ESCROW_FUNDING])
async def test_a_reservation_expires_not_before_its_time(market: Market, state: OrderState) -> None:
    deal = await Deal.in_state(market, state, EXPIRING)
    await deal.later(DAY_S - 60)
    assert (await passes(deal)).state == state
    await deal.later(DAY_S + 1)
    for _ in range(2):
        assert (await passes(deal)).final_status == "EXPIRED"
    order = await deal.order()
    assert (order.state, order.escrow and order.escrow.state) == ("CLOSED", EscrowState.ABANDONED if order.escrow else None)
    assert await deal.books() == {"buyer": AMOUNT}
    assert [name for name, _ in await deal.events("order.")][-1] == "order.expired"


async def test_what_is_on_its_way_or_funded_does_not_expire(market: Market) -> None:
    await market.restock(2)
    for state in (OrderState.ORDER_CREATED, OrderState.ESCROW_CREATING, OrderState.IN_PROGRESS):
        deal = await Deal.in_state(market, state, EXPIRING)
        await deal.later(2 * DAY_S)
        assert (await passes(deal)).state == state


async def test_a_reservation_lives_from_the_reserving_on_by_the_engines_clock(market: Market) -> None:
    deal = await Deal.agreed(market, EXPIRING)
    await deal.later(10 * DAY_S)
    order = await deal.do(reserve_order)
    assert abs(order.reservation_expires_at - order.updated_at - 11 * DAY) < timedelta(seconds=5)
    assert (await passes(deal)).state == "FUNDS_RESERVED"


async def test_the_seller_is_paid_by_itself_a_while_after_everything_is_delivered(market: Market) -> None:
    deal = await Deal.funded(market, RELEASING)
    await deliver(deal, "m1")
    assert (await deal.order()).auto_release_at is None, "m0 is not delivered"
    await deliver(deal, "m0")
    order = await deal.order()
    assert order.auto_release_at == max(milestone.completed_at for milestone in order.milestones if milestone.completed_at) + DAY
    assert [name for name, _ in await deal.events("order.release")] == ["order.release_scheduled"]
    assert (await passes(deal)).state == "IN_PROGRESS"
    await deal.later(DAY_S + 5)
    assert (await passes(deal)).state == "RELEASE_REQUESTED"
    assert (await passes(deal)).state == "RELEASE_REQUESTED", "it is asked for once"
    await deal.finish(await deal.order())
    assert (await deal.order()).final_status is FinalStatus.RELEASED


async def test_an_extension_moves_it_and_can_be_repeated_but_not_beyond_a_year(market: Market) -> None:
    deal = await Deal.funded(market, RELEASING)
    with pytest.raises(DomainError) as too_early:
        await deal.do(extend_release, DAY, "buyer")
    assert too_early.value.code is ErrorCode.INVALID_STATE
    assert too_early.value.details == {"currentState": "IN_PROGRESS", "allowedStates": ["IN_PROGRESS"]}
    await deliver(deal, "m0", "m1")
    due = await auto_release_at(deal)
    for days in (1, 2):
        assert (await deal.do(extend_release, DAY, "seller")).auto_release_at == due + days * DAY
    with pytest.raises(DomainError) as too_long:
        await deal.do(extend_release, 364 * DAY, "seller")
    assert too_long.value.code is ErrorCode.LIMIT_EXCEEDED
    await deal.later(DAY_S + 5)
    assert (await passes(deal)).state == "IN_PROGRESS"
    await deal.later(3 * DAY_S + 5)
    assert (await passes(deal)).state == "RELEASE_REQUESTED"


async def test_a_dispute_stops_it(market: Market) -> None:
    deal = await Deal.funded(market, RELEASING)
    await deliver(deal, "m0", "m1")
    await deal.finish(await deal.dispute())
    await deal.later(2 * DAY_S)
    assert (await passes(deal)).state == "DISPUTED"


async def test_a_release_that_is_refused_is_put_off_and_tried_again(market: Market) -> None:
    deal = await Deal.funded(market, RELEASING)
    await deliver(deal, "m0", "m1")
    await deal.later(DAY_S + 5)
    await passes(deal)
    await deal.refuse(await deal.order())
    assert (await passes(deal)).state == "IN_PROGRESS"
    await deal.later(2 * DAY_S)
    assert (await passes(deal)).state == "RELEASE_REQUESTED"


async def test_parts_are_paid_by_themselves_in_the_order_of_their_delivery(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    await deliver(deal, "m2", "m0")
    delivered = (await deal.order()).milestones[2].completed_at
    assert delivered is not None
    assert await auto_release_at(deal) == delivered + DAY
    await deal.later(DAY_S + 30)
    for index in (2, 0):
        await passes(deal)
        operation = (await deal.order()).operation
        assert operation is not None
        assert (operation.kind, operation.subject.milestone_index) == (OperationKind.MILESTONE_RELEASE, index)
        await deal.finish(await deal.order())
    order = await deal.order()
    assert (order.auto_release_at, order.milestones[1].state) == (None, MilestoneState.OPEN)


async def test_an_extended_part_stays_extended_while_others_move(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    await deliver(deal, "m0")
    await deal.do(extend_release, 5 * DAY, "seller")
    extended = await auto_release_at(deal)
    await deliver(deal, "m1")
    assert await auto_release_at(deal) == extended
    await deal.finish(await deal.do(request_milestone_release, "m2"))
    assert await auto_release_at(deal) == extended
    await deal.finish(await deal.do(request_milestone_release, "m0"))
    m1 = (await deal.order()).milestones[1].completed_at
    assert m1 is not None
    assert await auto_release_at(deal) == m1 + DAY, "now it is m1's turn"


async def test_a_disputed_part_is_passed_over(market: Market) -> None:
    deal = await Deal.funded(market, IN_PARTS)
    await deliver(deal, "m0")
    opened = await deal.dispute(milestone="m0")
    await deal.finish(opened)
    assert (await deal.order()).auto_release_at is None
    await deliver(deal, "m1")
    await deal.later(DAY_S + 5)
    await passes(deal)
    operation = (await deal.order()).operation
    assert operation is not None
    assert operation.subject.milestone_index == 1


async def test_an_undecided_dispute_is_escalated_once_and_decided_by_default(market: Market) -> None:
    deal = await Deal.funded(market)
    opened = await deal.dispute(deadlines=DisputeDeadlines(DAY_S, 3 * DAY_S, Decision.FULL_REFUND))
    await deal.finish(opened)

    async def pass_by() -> str:
        view = await deal.run(lambda transaction: pass_dispute_deadline(transaction, opened.dispute.id))
        return str(view.state)

    assert (await pass_by(), (await read(deal, opened.dispute.id)).escalated_at) == ("OPEN", None)
    await deal.later(DAY_S + 5)
    for _ in range(2):
        assert await pass_by() == "OPEN"
    assert len(await deal.events("dispute.escalated")) == 1
    await deal.later(3 * DAY_S + 5)
    for _ in range(2):
        assert await pass_by() == "RESOLVING"
    dispute = await read(deal, opened.dispute.id)
    assert (dispute.decision, dispute.resolved_by) == (Decision.FULL_REFUND, "deadline")
    await deal.finish(await deal.order())
    assert (await deal.order()).final_status is FinalStatus.REFUNDED


async def test_the_default_waits_for_the_freeze_and_a_decision_overtakes_it(market: Market) -> None:
    deal = await Deal.funded(market)
    opened = await deal.dispute(deadlines=DisputeDeadlines(None, DAY_S, Decision.FULL_RELEASE))
    await deal.later(2 * DAY_S)
    view = await deal.run(lambda transaction: pass_dispute_deadline(transaction, opened.dispute.id))
    assert view.state == "OPEN", "nothing to decide before the contract is frozen"
    await deal.finish(opened)
    await decide(deal, opened.dispute.id, Decision.SPLIT, 1, AMOUNT - 1)
    view = await deal.run(lambda transaction: pass_dispute_deadline(transaction, opened.dispute.id))
    assert (view.state, view.decision) == ("RESOLVING", "SPLIT")


async def test_without_a_default_nobody_decides_by_itself(market: Market) -> None:
    deal = await Deal.funded(market)
    opened = await deal.dispute(deadlines=DisputeDeadlines(None, DAY_S, None))
    await deal.finish(opened)
    await deal.later(400 * DAY_S)
    view = await deal.run(lambda transaction: pass_dispute_deadline(transaction, opened.dispute.id))
    assert (view.state, (await read(deal, opened.dispute.id)).state) == ("OPEN", DisputeState.OPEN)


async def test_while_drained_nobody_is_paid_by_itself_but_reservations_expire(market: Market) -> None:
    await market.restock(2)
    releasing, disputed = await Deal.funded(market, RELEASING), await Deal.funded(market)
    expiring = await Deal.in_state(market, OrderState.FUNDS_RESERVED, EXPIRING)
    await deliver(releasing, "m0", "m1")
    opened = await disputed.dispute(deadlines=DisputeDeadlines(DAY_S, DAY_S, Decision.FULL_REFUND))
    await disputed.finish(opened)
    await releasing.later(DAY_S + 60)

    async def dispute_passes() -> str:
        view = await disputed.run(lambda transaction: pass_dispute_deadline(transaction, opened.dispute.id))
        return str(view.state)

    async with market.command() as transaction:
        await start_drain(transaction, "new disks")
    assert (await told(market))[1] == {f"order/{expiring.order_id}", f"dispute/{opened.dispute.id}"}, "who expires, and who is escalated"
    assert [(await passes(releasing)).state, await dispute_passes()] == ["IN_PROGRESS", "OPEN"]
    assert (await passes(expiring)).final_status == "EXPIRED"
    assert (await read(disputed, opened.dispute.id)).escalated_at is not None
    assert (await told(market))[1] == set(), "nobody is told again and again"
    async with market.command() as transaction:
        await end_drain(transaction)
    assert (await told(market))[1] == {f"order/{releasing.order_id}", f"dispute/{opened.dispute.id}"}
    assert [(await passes(releasing)).state, await dispute_passes()] == ["RELEASE_REQUESTED", "RESOLVING"]


EVER = datetime(1970, 1, 1, tzinfo=UTC)


async def told(market: Market, since: datetime = EVER) -> tuple[datetime, set[str]]:
    """What the sweep has looked at, and whose workflows it tells."""
    async with market.database.engine.begin() as connection:
        await connection.exec_driver_sql("UPDATE workflow_messages SET dispatched_at = created_at")
    async with market.command() as transaction:
        up_to = await tell_passed(transaction, since)
    async with market.database.engine.connect() as connection:
        rows = await connection.exec_driver_sql("SELECT workflow_id FROM workflow_messages WHERE dispatched_at IS NULL")
        return up_to, {row.workflow_id for row in rows}


async def test_the_sweep_tells_the_workflows_of_what_has_passed_since_it_last_looked(market: Market) -> None:
    await market.restock(2)
    expiring, releasing = await Deal.in_state(market, OrderState.FUNDS_RESERVED, EXPIRING), await Deal.funded(market, RELEASING)
    await deliver(releasing, "m0", "m1")
    disputed = await Deal.funded(market)
    opened = await disputed.dispute(deadlines=DisputeDeadlines(DAY_S))
    await disputed.finish(opened)
    start = opened.dispute.created_at - timedelta(minutes=1)

    up_to, nobody = await told(market, start)
    assert nobody == set()
    await expiring.later(DAY_S + 60)
    up_to, workflows = await told(market, up_to)
    assert workflows == {f"order/{expiring.order_id}", f"order/{releasing.order_id}", f"dispute/{opened.dispute.id}"}
    assert (await told(market, up_to))[1] == set()


async def test_nobody_is_told_of_a_reservation_that_was_paid_for(market: Market) -> None:
    """However long the order goes on: the sweep looks at all that ever passed, again and again."""
    deal = await Deal.funded(market, EXPIRING)
    await deal.later(DAY_S + 60)
    assert (await told(market))[1] == set()


async def test_nobody_is_told_while_an_operation_runs_and_afterwards_they_are(market: Market) -> None:
    """It may run for days; told each minute, the workflow that carries it out would fill its history."""
    await market.restock(2)
    paid, disputed = await Deal.funded(market, IN_PARTS), await Deal.funded(market)
    await deliver(paid, "m0", "m1")
    opened = await disputed.dispute(deadlines=DisputeDeadlines(None, DAY_S, Decision.FULL_REFUND))
    await paid.later(DAY_S + 60)
    await passes(paid)
    assert (await paid.order()).operation is not None
    assert (await told(market))[1] == set()
    await paid.finish(await paid.order())
    await disputed.finish(opened)
    assert (await told(market))[1] == {f"order/{paid.order_id}", f"dispute/{opened.dispute.id}"}


async def test_a_dispute_is_escalated_while_its_freezing_still_runs(market: Market) -> None:
    deal = await Deal.funded(market)
    opened = await deal.dispute(deadlines=DisputeDeadlines(DAY_S, 2 * DAY_S, None))
    await deal.later(3 * DAY_S)
    assert (await told(market))[1] == {f"dispute/{opened.dispute.id}"}
    await deal.run(lambda transaction: pass_dispute_deadline(transaction, opened.dispute.id))
    await deal.finish(opened)
    assert (await told(market))[1] == set(), "nobody decides by itself"
