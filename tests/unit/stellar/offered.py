"""Envelopes as Trustless Work offers them, made by the sandbox's builder: another engineer's reading of the same reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from typing import Any

from stellar_sdk import Keypair, StrKey, xdr

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
    is_multi_release,
)
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.verify import EnvelopeBounds, VerifiedEnvelope, verify_envelope
from sandbox.contracts.escrow_record import Escrow, Flags, Milestone, Roles, escrow_value
from sandbox.contracts.interface import Invocation
from sandbox.contracts.multi_release_record import MultiReleaseEscrow, MultiReleaseRoles, PaidMilestone, multi_release_value
from sandbox.contracts.records import Record
from sandbox.trustless.envelope import build_transaction
from sandbox.trustless.footprint import Token
from sandbox.trustless.identity import identity
from sandbox.trustless.multi_release_plans import MultiReleasePlanner
from sandbox.trustless.multi_release_requests import DisputeMilestoneBody, ReleaseMilestoneBody, ResolveMilestoneBody
from sandbox.trustless.plans import EscrowPlanner, Plan, Planner
from sandbox.trustless.requests import (
    ApproveBody,
    DisputeBody,
    DistributionBody,
    FundBody,
    ReleaseBody,
    ResolveBody,
    StatusBody,
)

PASSPHRASE = "OFFER-HUB Sandbox Network ; November 2026"
NOW = 1_800_000_000
SEQUENCE = 8_589_934_593
MAX_FEE_STROOPS = 20_000_000
SALT = sha256(b"salt").digest()


def account(name: str) -> str:
    return Keypair.from_raw_ed25519_seed(sha256(name.encode()).digest()).public_key


def contract(name: str) -> str:
    return StrKey.encode_contract(sha256(name.encode()).digest())


BUYER, SELLER, PLATFORM, SIGNER, STRANGER = (account(name) for name in ("buyer", "seller", "platform", "signer", "stranger"))
ESCROW, MULTI_ESCROW = contract("escrow"), contract("multi escrow")
TRUSTLESS_WORK = identity(PASSPHRASE)
NETWORK = StellarNetwork(
    passphrase=PASSPHRASE,
    usdc_issuer=account("issuer"),
    factory_contract=TRUSTLESS_WORK["factory"],
    escrow_wasm_hash=TRUSTLESS_WORK["wasmHash"],
    protocol_fee_address=TRUSTLESS_WORK["feeAddress"],
    multi_release_wasm_hash=TRUSTLESS_WORK["multiReleaseWasmHash"],
)
TOKEN = Token(NETWORK.usdc, NETWORK.usdc_contract)
TERMS = EscrowTerms(
    engagement_id="ord_01",
    title="Logo",
    description="A logo, in colour – delivered as SVG",
    approver=BUYER,
    service_provider=SELLER,
    platform=PLATFORM,
    release_signer=BUYER,
    dispute_resolver=PLATFORM,
    receiver=SELLER,
    amount_stroops=800_000_000,
    platform_fee_bps=500,
    milestones=("Sketch", "Final"),
)
DEPLOY = DeployEscrow(SIGNER, TERMS)
FUND = FundEscrow(BUYER, ESCROW, TERMS, TERMS.amount_stroops)
STATUS = ChangeMilestoneStatus(SELLER, ESCROW, 1, "completed", "https://example.org/file")
APPROVE = ApproveMilestone(BUYER, ESCROW, 1)
RELEASE = ReleaseFunds(BUYER, ESCROW)
FREEZE = FreezeEscrow(SELLER, ESCROW)
RESOLVE = ResolveEscrow(PLATFORM, ESCROW, ((SELLER, 500_000_000), (BUYER, 300_000_001)))
MULTI_TERMS = replace(TERMS, milestone_amounts=(300_000_000, 500_000_000))
MULTI_DEPLOY = DeployEscrow(SIGNER, MULTI_TERMS)
MULTI_FUND = FundEscrow(BUYER, MULTI_ESCROW, MULTI_TERMS, MULTI_TERMS.amount_stroops)
MULTI_STATUS = replace(STATUS, contract_id=MULTI_ESCROW, on_multi_release=True)
MULTI_APPROVE = replace(APPROVE, contract_id=MULTI_ESCROW, on_multi_release=True)
MULTI_RELEASE = ReleaseFunds(BUYER, MULTI_ESCROW, 1)
MULTI_FREEZE = FreezeEscrow(SELLER, MULTI_ESCROW, 1)
MULTI_RESOLVE = ResolveEscrow(PLATFORM, MULTI_ESCROW, ((SELLER, 200_000_000), (BUYER, 300_000_000)), 1)
WITHDRAW = WithdrawRemaining(PLATFORM, MULTI_ESCROW, ((BUYER, 70_000_003), (SELLER, 1)))
SINGLE: tuple[EscrowIntent, ...] = (DEPLOY, FUND, STATUS, APPROVE, RELEASE, FREEZE, RESOLVE)
MULTI: tuple[EscrowIntent, ...] = (
    MULTI_DEPLOY,
    MULTI_FUND,
    MULTI_STATUS,
    MULTI_APPROVE,
    MULTI_RELEASE,
    MULTI_FREEZE,
    MULTI_RESOLVE,
    WITHDRAW,
)
INTENTS = SINGLE + MULTI
BOUNDS = EnvelopeBounds(now_unix=NOW, max_fee_stroops=MAX_FEE_STROOPS)


@dataclass(frozen=True)
class Offer:
    """What the builder hands over for an intent."""

    envelope_xdr: str
    hash: str


@cache
def offer(intent: EscrowIntent) -> Offer:
    plan = _plan(intent)
    invocation = Invocation(
        contract_id=plan.call.contract_id,
        function=plan.call.function,
        args=plan.call.args,
        auth=[plan.call.authorization()],
        source=plan.call.source,
        network_passphrase=PASSPHRASE,
        ledger_sequence=2,
    )
    built = build_transaction(invocation, plan.resources, SEQUENCE, NOW)
    return Offer(built.envelope_xdr, built.hash)


def tampered(intent: EscrowIntent, change: Callable[[xdr.TransactionEnvelope], object]) -> str:
    """The good envelope with one thing changed."""
    envelope = xdr.TransactionEnvelope.from_xdr(offer(intent).envelope_xdr)
    change(envelope)
    return envelope.to_xdr()


def verify(intent: EscrowIntent, envelope_xdr: str, bounds: EnvelopeBounds = BOUNDS) -> VerifiedEnvelope:
    return verify_envelope(NETWORK, intent, envelope_xdr, bounds)


def escrow(terms: EscrowTerms) -> Escrow:
    return Escrow(
        amount_stroops=terms.amount_stroops,
        description=terms.description,
        engagement_id=terms.engagement_id,
        flags=Flags(),
        milestones=tuple(Milestone(text) for text in terms.milestones),
        platform_fee_bps=terms.platform_fee_bps,
        receiver_memo=0,
        roles=Roles(
            approver=terms.approver,
            dispute_resolver=terms.dispute_resolver,
            platform=terms.platform,
            receiver=terms.receiver,
            release_signer=terms.release_signer,
            service_provider=terms.service_provider,
        ),
        title=terms.title,
        trustline=NETWORK.usdc_contract,
    )


def multi_escrow(terms: EscrowTerms) -> MultiReleaseEscrow:
    pairs = zip(terms.milestones, terms.milestone_amounts, strict=True)
    return MultiReleaseEscrow(
        description=terms.description,
        engagement_id=terms.engagement_id,
        milestones=tuple(PaidMilestone(amount, text, terms.receiver) for text, amount in pairs),
        platform_fee_bps=terms.platform_fee_bps,
        receiver_memo=0,
        roles=MultiReleaseRoles(
            approver=terms.approver,
            dispute_resolver=terms.dispute_resolver,
            platform=terms.platform,
            release_signer=terms.release_signer,
            service_provider=terms.service_provider,
        ),
        title=terms.title,
        trustline=NETWORK.usdc_contract,
    )


def _plan(intent: EscrowIntent) -> Plan:
    return _plan_multi(intent, MultiReleasePlanner(PASSPHRASE)) if is_multi_release(intent) else _plan_single(intent, Planner(PASSPHRASE))


def _plan_single(intent: EscrowIntent, planner: Planner) -> Plan:
    match intent:
        case DeployEscrow():
            return planner.deploy(intent.source, escrow(intent.terms), SALT)
        case FundEscrow():
            return planner.fund(_fund_body(intent), escrow_value(escrow(intent.terms)), TOKEN)
        case ReleaseFunds():
            release = ReleaseBody.model_construct(contract_id=intent.contract_id, release_signer=intent.source)
            return planner.release(release, escrow(TERMS), TOKEN)
        case FreezeEscrow():
            return planner.dispute(DisputeBody.model_construct(contract_id=intent.contract_id, signer=intent.source), escrow(TERMS))
        case ResolveEscrow():
            return planner.resolve(ResolveBody.model_construct(**_sharing(intent)), escrow(TERMS), TOKEN)
        case _:
            return _plan_of_milestone(intent, planner, escrow(TERMS))


def _plan_multi(intent: EscrowIntent, planner: MultiReleasePlanner) -> Plan:
    stored = multi_escrow(MULTI_TERMS)
    match intent:
        case DeployEscrow():
            return planner.deploy(intent.source, multi_escrow(intent.terms), SALT, TOKEN)
        case FundEscrow():
            return planner.fund(_fund_body(intent), multi_release_value(multi_escrow(intent.terms)), TOKEN)
        case ReleaseFunds():
            release = ReleaseMilestoneBody.model_construct(
                contract_id=intent.contract_id, release_signer=intent.source, milestone_index=str(intent.milestone_index)
            )
            return planner.release(release, stored, TOKEN)
        case FreezeEscrow():
            freeze = DisputeMilestoneBody.model_construct(
                contract_id=intent.contract_id, signer=intent.source, milestone_index=str(intent.milestone_index)
            )
            return planner.dispute(freeze, stored)
        case ResolveEscrow() | WithdrawRemaining():
            return _plan_sharing(intent, planner, stored)
        case _:
            return _plan_of_milestone(intent, planner, stored)


def _plan_sharing(intent: ResolveEscrow | WithdrawRemaining, planner: MultiReleasePlanner, stored: MultiReleaseEscrow) -> Plan:
    if isinstance(intent, WithdrawRemaining):
        return planner.withdraw(ResolveBody.model_construct(**_sharing(intent)), stored, TOKEN)
    resolution = ResolveMilestoneBody.model_construct(**_sharing(intent), milestone_index=str(intent.milestone_index))
    return planner.resolve(resolution, stored, TOKEN)


def _plan_of_milestone(intent: EscrowIntent, planner: EscrowPlanner, stored: Record) -> Plan:
    """What both contracts are told in the same words."""
    assert isinstance(intent, ChangeMilestoneStatus | ApproveMilestone)
    on_milestone: dict[str, Any] = {"contract_id": intent.contract_id, "milestone_index": str(intent.milestone_index)}
    if isinstance(intent, ApproveMilestone):
        return planner.approve(ApproveBody.model_construct(**on_milestone, approver=intent.source), stored)
    told: dict[str, Any] = {"new_status": intent.status, "new_evidence": intent.evidence, "service_provider": intent.source}
    return planner.status(StatusBody.model_construct(**on_milestone, **told), stored)


def _fund_body(intent: FundEscrow) -> FundBody:
    return FundBody.model_construct(contract_id=intent.contract_id, signer=intent.source, amount=intent.amount_stroops)


def _sharing(intent: ResolveEscrow | WithdrawRemaining) -> dict[str, Any]:
    shares = [DistributionBody.model_construct(address=address, amount=amount) for address, amount in intent.shares]
    return {"contract_id": intent.contract_id, "dispute_resolver": intent.source, "distributions": shares}


def named(intent: EscrowIntent) -> str:
    """For the titles of parametrised tests."""
    return f"{'multi ' if is_multi_release(intent) else ''}{type(intent).__name__}"
