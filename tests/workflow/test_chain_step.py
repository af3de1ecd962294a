"""A signed envelope that the network never applies is followed by a new one only after proof that it is dead."""

from __future__ import annotations

import httpx
import pytest

from tests.e2e.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

AMOUNT = 90_000_000


@pytest.mark.slow
async def test_dead_envelope_is_replaced_once_its_death_is_proven(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(order.id))
    await _control(rig, "ledger", {"intervalSeconds": None})
    try:
        accepted = await rig.accept_funding(order.id)
        await rig.until(lambda: _is_submitted(rig, accepted.operation.id))
        assert (await rig.operation(accepted.operation.id)).status == "RUNNING"
        # The only ledger that closes, closes after the envelope's last moment.
        await _control(rig, "clock/advance", {"seconds": 600})
    finally:
        await _control(rig, "ledger", {"intervalSeconds": 0})
    # Horizon answers the first posting only after half a minute.
    await rig.succeeded(accepted)
    attempts = await rig.attempts_of(accepted.operation.id)
    assert [attempt.state for attempt in attempts] == ["DEAD", "CONFIRMED"]
    assert attempts[0].reason
    await rig.assert_books_equal_chain(buyer, seller)


async def test_envelopes_that_are_too_old_to_send_are_asked_for_with_pauses(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(order.id))
    await _control(rig, "faults", {"kind": "tw_expire_builds", "seconds": 1, "next": 2})
    accepted = await rig.accept_funding(order.id)
    await rig.succeeded(accepted)
    escrow_id = (await rig.read_order(order.id)).the_escrow.id
    pauses = [one for one in await rig.activity_summaries(f"escrow/{escrow_id}") if one.startswith("starting over: fund escrow")]
    assert len(pauses) == 2
    assert [attempt.state for attempt in await rig.attempts_of(accepted.operation.id)] == ["CONFIRMED"]


async def _is_submitted(rig: Rig, operation_id: str) -> bool:
    return any(attempt.state == "SUBMITTED" for attempt in await rig.attempts_of(operation_id))


async def _control(rig: Rig, path: str, body: dict[str, object]) -> None:
    async with httpx.AsyncClient(timeout=60) as client:
        (await client.post(f"{rig.sandbox.url}/control/{path}", json=body)).raise_for_status()
