"""With Temporal gone commands are accepted all the same, and carried out when it is back."""

from __future__ import annotations

from pathlib import Path

import pytest

from devstack import ports, temporal
from tests.e2e.rig import Rig
from tests.services import NAMESPACE, PostgresServer, SandboxServer, TestServices

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.slow]

AMOUNT = 50_000_000


async def test_commands_are_accepted_while_temporal_is_away(
    services: TestServices,
    postgres_server: PostgresServer,
    migrated_template: str,
    redis_server: str,
    sandbox: SandboxServer,
    tmp_path: Path,
) -> None:
    grpc, http, metrics = ports.any_free(), ports.any_free(), ports.any_free()
    server = temporal.prepare(NAMESPACE, temporal.TemporalPorts(grpc, http, metrics, ui=None), tmp_path / "temporal")
    child = services.start(server)
    with postgres_server.database(migrated_template) as url:
        rig = Rig(url, redis_server, f"127.0.0.1:{grpc}", sandbox, tmp_path, namespace=NAMESPACE)
        try:
            await rig.start_worker()
            buyer, seller = await rig.user(), await rig.user()
            await rig.deposit(buyer, AMOUNT)
            order = await rig.order(buyer, seller, AMOUNT)
            child.process.kill()
            child.process.wait()
            accepted = await rig.accept_escrow(order.id)
            assert accepted.order.state == "ESCROW_CREATING"
            # Word for the order's workflow waits in the outbox, tried and not delivered.
            await rig.until(lambda: rig.has_logged("outbox.not_delivered"))
            child = services.start(server)
            await rig.succeeded(accepted)
            await rig.succeeded(await rig.accept_funding(order.id))
            await rig.succeeded(await rig.accept_release(order.id))
            await rig.assert_books_equal_chain(buyer, seller)
        finally:
            await rig.close()
            child.process.kill()
