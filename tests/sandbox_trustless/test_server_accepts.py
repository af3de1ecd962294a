"""The server's verifier, written independently of the sandbox, finds nothing to object to in what the sandbox builds."""

from __future__ import annotations

import pytest
from stellar_sdk import TransactionEnvelope

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import (
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    EscrowTerms,
    FundEscrow,
    ReleaseFunds,
)
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.verify import EnvelopeBounds, VerifiedEnvelope, verify_envelope
from sandbox.trustless import identity
from tests.sandbox_trustless.conftest import SINGLE, Service, deploy_body
from tests.sandbox_trustless.memory_ledger import CLOSE_TIME_S
from tests.sandbox_trustless.memory_world import BUYER, ISSUER, PASSPHRASE, PLATFORM, RECEIVER, RELEASER, RESOLVER, SELLER, UNIT

KNOWN = identity(PASSPHRASE)
NETWORK = StellarNetwork(PASSPHRASE, ISSUER, KNOWN["factory"], KNOWN["wasmHash"], KNOWN["feeAddress"])
TERMS = EscrowTerms(
    engagement_id="ord_1",
    title="Order 1",
    description="a logo",
    approver=BUYER,
    service_provider=SELLER,
    platform=PLATFORM,
    release_signer=RELEASER,
    dispute_resolver=RESOLVER,
    receiver=RECEIVER,
    amount_stroops=100 * UNIT,
    platform_fee_bps=500,
    milestones=("deliver",),
)


def verify(intent: EscrowIntent, unsigned_xdr: str) -> VerifiedEnvelope:
    bounds = EnvelopeBounds(sequence=None, now_unix=CLOSE_TIME_S, max_fee_stroops=20_000_000)
    return verify_envelope(NETWORK, intent, unsigned_xdr, bounds)


async def test_every_step_to_release_is_accepted(service: Service) -> None:
    deploy = await service.build("/trustless-work/deployer/single-release", deploy_body())
    verified = verify(DeployEscrow(BUYER, TERMS), deploy)
    answer = await service.send(service.sign(deploy))
    contract_id = verified.contract_id
    assert answer.json()["contractId"] == contract_id
    steps: list[tuple[str, dict[str, object], EscrowIntent]] = [
        ("fund-escrow", {"signer": BUYER, "amount": 100}, FundEscrow(BUYER, contract_id, TERMS, 100 * UNIT)),
        (
            "change-milestone-status",
            {"milestoneIndex": "0", "newStatus": "delivered", "newEvidence": "link", "serviceProvider": SELLER},
            ChangeMilestoneStatus(SELLER, contract_id, 0, "delivered", "link"),
        ),
        ("approve-milestone", {"milestoneIndex": "0", "approver": BUYER}, ApproveMilestone(BUYER, contract_id, 0)),
        ("release-funds", {"releaseSigner": RELEASER}, ReleaseFunds(RELEASER, contract_id)),
    ]
    for step, body, intent in steps:
        unsigned = await service.build(f"{SINGLE}/{step}", {"contractId": contract_id} | body)
        verified = verify(intent, unsigned)
        assert verified.inner_hash == TransactionEnvelope.from_xdr(unsigned, PASSPHRASE).hash_hex()
        assert service.ledger.apply(service.sign(unsigned)).successful


async def test_another_intent_is_refused(service: Service) -> None:
    contract_id = await service.deploy()
    unsigned = await service.build(f"{SINGLE}/fund-escrow", {"contractId": contract_id, "signer": BUYER, "amount": 100})
    with pytest.raises(IntentMismatchError):
        verify(FundEscrow(BUYER, contract_id, TERMS, 100 * UNIT - 1), unsigned)
