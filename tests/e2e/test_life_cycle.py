"""Order → escrow → fund → release on the real parts; at the end the books equal the chain to the stroop."""

from __future__ import annotations

from offerhub.domain import ledger
from offerhub.domain.fees import split_release
from tests.e2e.rig import Rig

AMOUNT = 80_000_0001


async def test_life_cycle(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, 100 * 10**7)
    order = await rig.order(buyer, seller, AMOUNT, milestones=2)
    await rig.funded(order.id)
    await rig.succeeded(await rig.accept_release(order.id))
    closed = await rig.read_order(order.id)
    assert closed.state == "CLOSED"
