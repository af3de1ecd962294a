"""What the real worker did is in the audit log, sealed into one chain, and stays so when the worker is killed in the middle."""

from __future__ import annotations

import pytest

from offerhub.domain.audit import AuditEntry, canonical, verify
from offerhub.storage import audit
from offerhub.storage.audit import AuditFilter
from tests.e2e.rig import Rig

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]
AMOUNT = 50_000_000
# From acceptance to the last booking, whoever did it.
OF_AN_OPERATION = ["operation.accepted", "operation.started", "operation.succeeded"]
OF_AN_ENVELOPE = {"envelope.signed", "envelope.submitted", "envelope.settled"}


async def sealed(rig: Rig, wanted: AuditFilter) -> list[AuditEntry]:
    async with rig.database.reading() as reader:
        head = await audit.head(reader)
        return await audit.chain(reader, wanted, (0, head.sequence), 1_000_000)


async def test_a_whole_order_is_on_record_although_the_worker_was_killed(rig: Rig) -> None:
    buyer, seller = await rig.user(), await rig.user()
    await rig.deposit(buyer, AMOUNT)
    order = await rig.order(buyer, seller, AMOUNT)
    creation = await rig.accept_escrow(order.id)
    await rig.succeeded(creation)
    funding = await rig.accept_funding(order.id)
    rig.kill_worker()
    await rig.start_worker()
    await rig.succeeded(funding)
    release = await rig.accept_release(order.id)
    await rig.succeeded(release)

    async def is_sealed() -> bool:
        done = AuditFilter(resource_id=release.operation.id, action="operation.succeeded")
        return bool(await sealed(rig, done))

    await rig.until(is_sealed)
    for accepted in (creation, funding, release):
        entries = await sealed(rig, AuditFilter(resource_id=accepted.operation.id))
        assert [entry.action for entry in entries] == OF_AN_OPERATION
        for attempt in await rig.attempts_of(accepted.operation.id):
            of_attempt = [entry.action for entry in await sealed(rig, AuditFilter(resource_id=attempt.id))]
            assert (of_attempt[0], of_attempt[-1]) == ("envelope.signed", "envelope.settled"), attempt
            assert set(of_attempt) <= OF_AN_ENVELOPE, attempt
    about_the_order = await sealed(rig, AuditFilter(resource_type="order", user_id=seller.id))
    states = [entry.after["state"] for entry in about_the_order if entry.after and "state" in entry.after]
    assert (states[0], states[-1]) == ("ORDER_CREATED", "CLOSED")
    everything = await sealed(rig, AuditFilter())
    verdict = verify(canonical(entry.document()) for entry in everything)
    assert verdict.faults == ()
    assert verdict.entries > 40
    written = "".join(canonical(entry.document()) for entry in everything)
    assert not [secret for secret in rig.secrets() if secret in written]
