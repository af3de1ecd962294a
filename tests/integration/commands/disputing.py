"""Decisions on disputes, as the tests give them."""

from __future__ import annotations

from offerhub.commands.dispute_facts import AcceptedDispute
from offerhub.commands.resolution import ResolveDispute, resolve_dispute
from offerhub.domain.states import Decision
from offerhub.storage import disputes
from offerhub.storage.disputes import DisputeRecord
from tests.integration.commands.deal import Deal


async def decide(deal: Deal, dispute_id: str, decision: Decision, *shares: int | None) -> AcceptedDispute:
    """``shares`` are those of seller and buyer."""
    release, refund = shares or (None, None)
    wanted = ResolveDispute(dispute_id, decision, "agent-7", release, refund, "after a long talk")
    accepted: AcceptedDispute = await deal.run(lambda transaction: resolve_dispute(transaction, wanted))
    return accepted


async def read(deal: Deal, dispute_id: str) -> DisputeRecord:
    async with deal.market.database.reading() as reader:
        found = await disputes.get(reader, dispute_id)
    assert found is not None
    return found
