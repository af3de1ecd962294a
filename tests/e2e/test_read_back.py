"""Before the buyer's money goes into a contract, the contract is read back from the chain."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from offerhub.domain import ledger
from tests.e2e.rig import Rig

pytestmark = pytest.mark.asyncio(loop_scope="session")

AMOUNT = 90_000_000


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("UPDATE orders SET platform_fee_bps = 100 WHERE id = :id", "contract.escrow.platform_fee"),
        ("UPDATE orders SET title = 'Another thing' WHERE id = :id", "contract.escrow.description"),
        ("UPDATE orders SET (buyer_id, seller_id) = (seller_id, buyer_id) WHERE id = :id", "contract.escrow.roles.approver"),
    ],
)
async def test_a_contract_that_is_not_what_the_order_calls_for_is_never_funded(rig: Rig, change: str, difference: str) -> None:
    """What differs is the order here, after the deployment; to the comparison it is the same as another contract."""
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    await rig.succeeded(await rig.accept_escrow(order.id))
    async with rig.database.engine.begin() as connection:
        await connection.execute(text(change), {"id": order.id})
    refused = await rig.finished(await rig.accept_funding(order.id))
    assert refused.error is not None
    assert (refused.status, refused.error["code"]) == ("FAILED", "PROVIDER_ERROR")
    assert await rig.attempts_of(refused.id) == []
    [reported] = await rig.events_of("signing.refused", refused.id)
    assert reported["field"] == difference
    resting = await rig.read_order(order.id)
    assert (resting.state, resting.the_escrow.state) == ("ESCROW_FUNDING", "CREATED")
    assert await rig.balance(ledger.reserved(buyer.id)) == AMOUNT
