"""The server's requests and its verifier, written independently of the sandbox, against what the sandbox builds: every call there is."""

from __future__ import annotations

from dataclasses import replace

import pytest
from stellar_sdk import TransactionEnvelope

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import (
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    EscrowTerms,
    FreezeEscrow,
    FundEscrow,
    ReleaseFunds,
    ResolveEscrow,
    WithdrawRemaining,
)
from offerhub.providers import exact_json
from offerhub.providers.escrow_requests import escrow_request
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.verify import EnvelopeBounds, VerifiedEnvelope, verify_envelope
from sandbox.faults.drafts import Draft, NotApplicable
from sandbox.faults.hostile import MUTATIONS
from sandbox.trustless import identity
from tests.sandbox_trustless.conftest import Service
from tests.sandbox_trustless.memory_ledger import CLOSE_TIME_S
from tests.sandbox_trustless.memory_world import BUYER, ISSUER, PASSPHRASE, PLATFORM, RECEIVER, RELEASER, RESOLVER, SELLER, TOKEN, UNIT

KNOWN = identity(PASSPHRASE)
NETWORK = StellarNetwork(
    PASSPHRASE, ISSUER, KNOWN["factory"], KNOWN["wasmHash"], KNOWN["feeAddress"], multi_release_wasm_hash=KNOWN["multiReleaseWasmHash"]
)
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
PER_MILESTONE = replace(TERMS, milestones=("sketch", "final"), milestone_amounts=(60 * UNIT, 40 * UNIT))


def verify(intent: EscrowIntent, unsigned_xdr: str) -> VerifiedEnvelope:
    return verify_envelope(NETWORK, intent, unsigned_xdr, EnvelopeBounds(now_unix=CLOSE_TIME_S, max_fee_stroops=20_000_000))


async def built(service: Service, intent: EscrowIntent) -> str:
    """Asked for as the server asks."""
    request = escrow_request(intent, ISSUER)
    headers = {"Content-Type": "application/json"}
    answer = await service.client.post(f"/trustless-work{request.path}", content=exact_json.encode(request.body), headers=headers)
    assert answer.is_success, answer.text
    unsigned: str = answer.json()["unsignedTransaction"]
    return unsigned


async def accepted(service: Service, intent: EscrowIntent) -> tuple[str, VerifiedEnvelope]:
    """The honest envelope passes, and no hostile change of it does."""
    unsigned = await built(service, intent)
    verified = verify(intent, unsigned)
    assert verified.inner_hash == TransactionEnvelope.from_xdr(unsigned, PASSPHRASE).hash_hex()
    for mutation, change in MUTATIONS.items():
        draft = Draft.read(unsigned)
        try:
            change(draft)
        except NotApplicable:
            continue
        if mutation == "other_sequence":
            # For the server to compare with the account's.
            assert verify(intent, draft.text()).sequence != verified.sequence
        else:
            with pytest.raises(IntentMismatchError):
                verify(intent, draft.text())
        assert draft.text() != unsigned, mutation
    return unsigned, verified


async def deployed(service: Service, terms: EscrowTerms) -> str:
    unsigned, verified = await accepted(service, DeployEscrow(BUYER, terms))
    answer = await service.send(service.sign(unsigned))
    assert answer.json()["contractId"] == verified.contract_id
    return verified.contract_id


async def carried_out(service: Service, *intents: EscrowIntent) -> None:
    for intent in intents:
        unsigned, _ = await accepted(service, intent)
        assert service.ledger.apply(service.sign(unsigned)).successful, intent


def held(service: Service, holder: str) -> int:
    return service.ledger.world.balances.get((TOKEN, holder), 0)


async def test_every_step_to_release_is_accepted(service: Service) -> None:
    contract_id = await deployed(service, TERMS)
    await carried_out(
        service,
        FundEscrow(BUYER, contract_id, TERMS, 100 * UNIT),
        ChangeMilestoneStatus(SELLER, contract_id, 0, "delivered", "link"),
        ApproveMilestone(BUYER, contract_id, 0),
        ReleaseFunds(RELEASER, contract_id),
    )
    assert held(service, contract_id) == 0


async def test_every_step_to_a_resolution_is_accepted(service: Service) -> None:
    contract_id = await deployed(service, TERMS)
    await carried_out(
        service,
        FundEscrow(BUYER, contract_id, TERMS, 100 * UNIT),
        FreezeEscrow(SELLER, contract_id),
        ResolveEscrow(RESOLVER, contract_id, ((SELLER, 60 * UNIT + 1), (BUYER, 40 * UNIT - 1))),
    )
    assert held(service, contract_id) == 0


async def test_every_step_of_an_escrow_paid_per_milestone_is_accepted(service: Service) -> None:
    """One milestone released, one disputed and divided, and what was paid in too much withdrawn."""
    contract_id = await deployed(service, PER_MILESTONE)
    await carried_out(
        service,
        FundEscrow(BUYER, contract_id, PER_MILESTONE, 100 * UNIT + 7),
        ChangeMilestoneStatus(SELLER, contract_id, 0, "delivered", "link", on_multi_release=True),
        ApproveMilestone(BUYER, contract_id, 0, on_multi_release=True),
        ReleaseFunds(RELEASER, contract_id, 0),
        FreezeEscrow(BUYER, contract_id, 1),
        ResolveEscrow(RESOLVER, contract_id, ((SELLER, 15 * UNIT), (BUYER, 25 * UNIT)), 1),
    )
    assert held(service, contract_id) == 7
    await carried_out(service, WithdrawRemaining(RESOLVER, contract_id, ((BUYER, 7),)))
    assert held(service, contract_id) == 0


async def test_another_intent_is_refused(service: Service) -> None:
    contract_id = await deployed(service, TERMS)
    unsigned = await built(service, FundEscrow(BUYER, contract_id, TERMS, 100 * UNIT))
    with pytest.raises(IntentMismatchError):
        verify(FundEscrow(BUYER, contract_id, TERMS, 100 * UNIT - 1), unsigned)
