"""Calls of the multi-release contract, made by hand in the order of arguments that the reference gives."""

from __future__ import annotations

from dataclasses import replace

from stellar_sdk import scval

from sandbox.contracts.addresses import multi_release_wasm_hash
from sandbox.contracts.factory import DEPLOY_MULTI_RELEASE_FUNCTION, escrow_contract_id
from sandbox.contracts.interface import ContractResult
from sandbox.contracts.multi_release_record import (
    MultiReleaseEscrow,
    MultiReleaseRoles,
    PaidMilestone,
    as_multi_release,
    multi_release_value,
)
from sandbox.contracts.values import address_value, amounts_value, string_value, vec_value
from sandbox.trustless.envelope import ContractCall
from tests.sandbox_trustless.memory_world import (
    BUYER,
    FACTORY,
    FEE_ADDRESS,
    PASSPHRASE,
    PLATFORM,
    RECEIVER,
    RELEASER,
    RESOLVER,
    SALT,
    SELLER,
    TOKEN,
    UNIT,
    MemoryWorld,
    fund,
    run,
    stored,
    world,
)

MULTI_WASM_HASH = multi_release_wasm_hash(PASSPHRASE)
SKETCH = PaidMilestone(60 * UNIT, "sketch", RECEIVER)
FINAL = PaidMilestone(40 * UNIT, "final", SELLER)


def multi_escrow(**changes: object) -> MultiReleaseEscrow:
    standard = MultiReleaseEscrow(
        description="a logo",
        engagement_id="ord_1",
        milestones=(SKETCH, FINAL),
        platform_fee_bps=500,
        receiver_memo=0,
        roles=MultiReleaseRoles(
            approver=BUYER, dispute_resolver=RESOLVER, platform=PLATFORM, release_signer=RELEASER, service_provider=SELLER
        ),
        title="Order 1",
        trustline=TOKEN,
    )
    return replace(standard, **changes)  # type: ignore[arg-type]


def deploy_call(properties: MultiReleaseEscrow, function: str = DEPLOY_MULTI_RELEASE_FUNCTION) -> ContractCall:
    args = [
        address_value(BUYER),
        scval.to_bytes(MULTI_WASM_HASH),
        scval.to_bytes(SALT),
        scval.to_symbol("initialize_escrow"),
        vec_value([multi_release_value(properties)]),
        vec_value([]),
    ]
    return ContractCall(BUYER, FACTORY, function, args)


def deploy(into: MemoryWorld, properties: MultiReleaseEscrow | None = None) -> str:
    run(into, deploy_call(properties or multi_escrow()))
    return escrow_contract_id(PASSPHRASE, FACTORY, SALT)


def funded(properties: MultiReleaseEscrow | None = None, amount_stroops: int = 100 * UNIT) -> tuple[MemoryWorld, str]:
    ledger = world(buyer=1_000 * UNIT)
    contract_id = deploy(ledger, properties)
    fund(ledger, contract_id, amount_stroops)
    ledger.transfers.clear()
    return ledger, contract_id


def state(of: MemoryWorld, contract_id: str) -> MultiReleaseEscrow:
    return as_multi_release(stored(of, contract_id))


def approve(into: MemoryWorld, contract_id: str, index: int = 0, approver: str = BUYER) -> ContractResult:
    return run(into, ContractCall(approver, contract_id, "approve_milestone", [scval.to_uint32(index), address_value(approver)]))


def set_status(
    into: MemoryWorld, contract_id: str, status: str = "delivered", index: int = 0, evidence: str | None = "link", provider: str = SELLER
) -> ContractResult:
    proof = scval.to_void() if evidence is None else string_value(evidence)
    args = [scval.to_uint32(index), string_value(status), proof, address_value(provider)]
    return run(into, ContractCall(provider, contract_id, "change_milestone_status", args))


def release(into: MemoryWorld, contract_id: str, index: int = 0, signer: str = RELEASER) -> ContractResult:
    args = [address_value(signer), address_value(FEE_ADDRESS), scval.to_uint32(index)]
    return run(into, ContractCall(signer, contract_id, "release_milestone_funds", args))


def dispute(into: MemoryWorld, contract_id: str, index: int = 0, signer: str = BUYER) -> ContractResult:
    return run(into, ContractCall(signer, contract_id, "dispute_milestone", [scval.to_uint32(index), address_value(signer)]))


def resolve(into: MemoryWorld, contract_id: str, shares: dict[str, int], index: int = 0, resolver: str = RESOLVER) -> ContractResult:
    args = [address_value(resolver), scval.to_uint32(index), address_value(FEE_ADDRESS), amounts_value(shares)]
    return run(into, ContractCall(resolver, contract_id, "resolve_milestone_dispute", args))


def withdraw(into: MemoryWorld, contract_id: str, shares: dict[str, int], resolver: str = RESOLVER) -> ContractResult:
    args = [address_value(resolver), address_value(FEE_ADDRESS), amounts_value(shares)]
    return run(into, ContractCall(resolver, contract_id, "withdraw_remaining_funds", args))
