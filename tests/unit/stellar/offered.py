"""Envelopes as Trustless Work offers them, made by the sandbox's builder: another engineer's reading of the same reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from stellar_sdk import Keypair, StrKey, xdr

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
from sandbox.contracts.escrow_record import Escrow, Flags, Milestone, Roles, escrow_value
from sandbox.contracts.interface import Invocation
from sandbox.trustless.envelope import build_transaction
from sandbox.trustless.footprint import Token
from sandbox.trustless.identity import identity
from sandbox.trustless.plans import Plan, Planner
from sandbox.trustless.requests import ApproveBody, FundBody, ReleaseBody, StatusBody

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
ESCROW = contract("escrow")
TRUSTLESS_WORK = identity(PASSPHRASE)
NETWORK = StellarNetwork(
    passphrase=PASSPHRASE,
    usdc_issuer=account("issuer"),
    factory_contract=TRUSTLESS_WORK["factory"],
    escrow_wasm_hash=TRUSTLESS_WORK["wasmHash"],
    protocol_fee_address=TRUSTLESS_WORK["feeAddress"],
)
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
INTENTS: tuple[EscrowIntent, ...] = (DEPLOY, FUND, STATUS, APPROVE, RELEASE)
BOUNDS = EnvelopeBounds(sequence=SEQUENCE, now_unix=NOW, max_fee_stroops=MAX_FEE_STROOPS)


@dataclass(frozen=True)
class Offer:
    """What the builder hands over for an intent."""

    envelope_xdr: str
    hash: str


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


def _plan(intent: EscrowIntent) -> Plan:
    planner = Planner(PASSPHRASE)
    token = Token(NETWORK.usdc, NETWORK.usdc_contract)
    match intent:
        case DeployEscrow():
            return planner.deploy(intent.source, escrow(intent.terms), SALT)
        case FundEscrow():
            funding = FundBody.model_construct(contract_id=intent.contract_id, signer=intent.source, amount=intent.amount_stroops)
            return planner.fund(funding, escrow_value(escrow(intent.terms)), token)
        case ChangeMilestoneStatus():
            status = StatusBody.model_construct(
                contract_id=intent.contract_id,
                milestone_index=str(intent.milestone_index),
                new_status=intent.status,
                new_evidence=intent.evidence,
                service_provider=intent.source,
            )
            return planner.status(status, escrow(TERMS))
        case ApproveMilestone():
            approval = ApproveBody.model_construct(
                contract_id=intent.contract_id, milestone_index=str(intent.milestone_index), approver=intent.source
            )
            return planner.approve(approval, escrow(TERMS))
        case ReleaseFunds():
            release = ReleaseBody.model_construct(contract_id=intent.contract_id, release_signer=intent.source)
            return planner.release(release, escrow(TERMS), token)
