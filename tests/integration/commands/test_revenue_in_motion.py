"""While something is under way that pays the platform, or is paid by it, a reconciliation says nothing about its revenue."""

from __future__ import annotations

import pytest

from offerhub.commands.refund import request_refund
from offerhub.commands.release import request_milestone_release, request_release
from offerhub.domain.states import Decision
from offerhub.storage import snapshots
from tests.integration.commands.deal import Deal, Wish
from tests.integration.commands.disputing import decide
from tests.integration.commands.market import PLATFORM, Market


@pytest.mark.parametrize("verb", ["release", "milestone release", "refund", "compensation", "resolution"])
async def test_revenue_is_in_motion(market: Market, verb: str) -> None:
    deal = await Deal.funded(market, Wish(parts=(80,) if verb == "milestone release" else (), make_buyer_whole=True))
    assert not await _is_in_motion(market)
    match verb:
        case "release":
            await deal.do(request_release, None, None)
        case "milestone release":
            await deal.do(request_milestone_release, "m0")
        case "refund":
            await deal.do(request_refund, "late")
        case "compensation":
            await deal.finish(await deal.do(request_refund, "late"))
            assert (await deal.order()).state == "CLOSED"
        case _:
            opened = await deal.dispute()
            assert not await _is_in_motion(market)
            await deal.finish(opened)
            await decide(deal, opened.dispute.id, Decision.FULL_RELEASE)
    assert await _is_in_motion(market)


async def _is_in_motion(market: Market) -> bool:
    async with market.database.reading() as reader:
        return (await snapshots.revenue(reader, PLATFORM)).in_motion
