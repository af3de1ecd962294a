"""The sequence number of an envelope before it is signed: the account's next one, or it is refused, or asked for again."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from activities.envelope_check import EnvelopeCheck
from activities.failures import WaitingError
from activities.intents import EscrowStep
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.plans import Action, OperationKind, step
from offerhub.stellar.horizon import Horizon
from offerhub.storage.operations import OperationRecord
from tests.unit.stellar.horizon_server import Answer, HorizonServer
from tests.unit.stellar.offered import APPROVE, MAX_FEE_STROOPS, NETWORK, NOW, SEQUENCE, offer

STEP = step(Action.APPROVE_MILESTONE, 0)
OPERATION = OperationRecord("op_1", OperationKind.RELEASE, "order", "ord_1", "RUNNING", "release/ord_1")
WANTED = EscrowStep("op_1/approve_milestone:0", STEP, OPERATION, APPROVE, APPROVE.contract_id)
ACCOUNT = {"account_id": APPROVE.source, "balances": [], "subentry_count": 0, "num_sponsoring": 0, "num_sponsored": 0}


@dataclass
class Network:
    """``sequence`` is the account's last used one, as the network says."""

    server: HorizonServer
    check: EnvelopeCheck

    async def judge(self, ours: int | None, theirs: int) -> int:
        """The sequence of the offered envelope, once it passes."""
        self.server.put(f"/accounts/{APPROVE.source}", Answer(200, {**ACCOUNT, "sequence": str(theirs)}))
        return (await self.check.verify(WANTED, offer(APPROVE).envelope_xdr, ours)).sequence


@pytest.fixture
async def network(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Network]:
    monkeypatch.setattr(time, "time", lambda: float(NOW))
    async with HorizonServer().running() as server, httpx.AsyncClient() as client:
        ledger = {"sequence": 3, "hash": "ab" * 32, "closed_at": "1970-01-01T00:00:00Z"}
        server.put("/ledgers", Answer(200, {"_embedded": {"records": [ledger]}}))
        yield Network(server, EnvelopeCheck(NETWORK, Horizon(server.url, NETWORK, client), MAX_FEE_STROOPS))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(SEQUENCE - 1, 0), (None, SEQUENCE - 1), (SEQUENCE - 3, SEQUENCE - 1)],
    ids=["as we know it", "an account new to us", "somebody used it without us"],
)
async def test_the_next_one_passes(network: Network, ours: int | None, theirs: int) -> None:
    assert await network.judge(ours, theirs) == SEQUENCE


@pytest.mark.parametrize("ours", [None, SEQUENCE - 2])
async def test_one_that_lies_in_wait_for_later_is_refused(network: Network, ours: int | None) -> None:
    with pytest.raises(IntentMismatchError) as refusal:
        await network.judge(ours, SEQUENCE - 2)
    assert (refusal.value.field, refusal.value.expected, refusal.value.found) == ("sequence", str(SEQUENCE - 1), str(SEQUENCE))


@pytest.mark.parametrize(("ours", "theirs"), [(SEQUENCE, SEQUENCE), (None, SEQUENCE)])
async def test_one_that_is_used_already_is_asked_for_again(network: Network, ours: int | None, theirs: int) -> None:
    with pytest.raises(WaitingError):
        await network.judge(ours, theirs)
