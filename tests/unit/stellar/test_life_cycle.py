"""The whole boundary in a row against the sandbox process: built by them, verified, signed in the vault, bumped, submitted, read back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest
from redis.asyncio import Redis

from offerhub.custody.keys import LocalKeyEncryption
from offerhub.custody.sealing import SealedSeed
from offerhub.custody.vault import Vault
from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.fees import pay_out, split_release
from offerhub.domain.intents import (
    ActivateWallets,
    ApproveMilestone,
    ChangeMilestoneStatus,
    DeployEscrow,
    EscrowIntent,
    EscrowTerms,
    FreezeEscrow,
    FundEscrow,
    ReleaseFunds,
    ResolveEscrow,
    TrustAsset,
    WithdrawRemaining,
)
from offerhub.domain.messages import Movement
from offerhub.providers.budget import Priority, RequestBudget
from offerhub.providers.errors import EscrowRejectedError
from offerhub.providers.trustless_work import Access, TrustlessWork
from offerhub.stellar.build import Placement, UnsignedEnvelope, build_envelope
from offerhub.stellar.contract_rpc import ContractRpc
from offerhub.stellar.envelope import attach_signatures, decode_envelope, encode_envelope, fee_bump
from offerhub.stellar.failure import ContractError, Trace
from offerhub.stellar.horizon import Horizon
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.outcome import Applied, Attempt, Dead, Pending, Refused, decide
from offerhub.stellar.payments import incoming_payments, movements_of
from offerhub.stellar.read_back import check_contract
from offerhub.stellar.verify import EnvelopeBounds, VerifiedEnvelope, verify_envelope
from tests.services import SandboxServer
from tests.unit.stellar.offered import TERMS

AMOUNT_STROOPS = 800_000_000
MAX_FEE_STROOPS = 20_000_000


@dataclass(frozen=True)
class Wallet:
    id: str
    address: str
    sealed: SealedSeed


@dataclass(frozen=True)
class Bench:
    """The pieces as a worker wires them."""

    network: StellarNetwork
    horizon: Horizon
    rpc: ContractRpc
    trustless: TrustlessWork
    vault: Vault
    client: httpx.AsyncClient
    control_url: str

    def wallet(self, name: str) -> Wallet:
        return Wallet(name, *self.vault.create(name))

    def sign(self, unsigned_xdr: str, transaction_hash: str, *signers: Wallet) -> bytes:
        digest = bytes.fromhex(transaction_hash)
        signatures = [self.vault.sign(one.id, one.address, one.sealed, digest) for one in signers]
        return attach_signatures(decode_envelope(unsigned_xdr), signatures)

    def bump(self, signed: bytes, payer: Wallet) -> str:
        unsigned, outer_hash = fee_bump(self.network, signed, payer.address, MAX_FEE_STROOPS)
        return encode_envelope(attach_signatures(unsigned, [self.vault.sign(payer.id, payer.address, payer.sealed, outer_hash)]))

    async def sequence(self, address: str) -> int:
        account = await self.horizon.account(address)
        assert account is not None
        return account.sequence

    async def now(self) -> int:
        return (await self.horizon.latest_ledger()).closed_at_unix

    async def faucet(self, address: str, amount: str) -> None:
        answer = await self.client.post(f"{self.control_url}/faucet", json={"address": address, "amount": amount})
        answer.raise_for_status()

    async def verified(self, intent: EscrowIntent) -> VerifiedEnvelope:
        envelope_xdr = await self.trustless.build(intent, Priority.RELEASE)
        verified = verify_envelope(self.network, intent, envelope_xdr, EnvelopeBounds(await self.now(), MAX_FEE_STROOPS))
        assert verified.sequence == await self.sequence(intent.source) + 1
        return verified

    async def outcome(self, envelope: VerifiedEnvelope | UnsignedEnvelope, source: str) -> Applied | Refused | Dead | Pending:
        seen = await self.horizon.observe(envelope.inner_hash, source, envelope.sequence)
        return decide(Attempt(envelope.inner_hash, source, envelope.sequence, envelope.max_time), seen)


@pytest.fixture
async def bench(sandbox: SandboxServer, redis_url: str) -> AsyncIterator[Bench]:
    given = sandbox.environment
    network = StellarNetwork(
        passphrase=given["NETWORK_PASSPHRASE"],
        usdc_issuer=given["USDC_ISSUER"],
        factory_contract=given["TRUSTLESS_WORK_FACTORY"],
        escrow_wasm_hash=given["TRUSTLESS_WORK_WASM_HASH"],
        protocol_fee_address=given["TRUSTLESS_WORK_FEE_ADDRESS"],
        friendbot_url=given["FRIENDBOT_URL"],
        multi_release_wasm_hash=given["TRUSTLESS_WORK_MULTI_WASM_HASH"],
    )
    async with httpx.AsyncClient() as client, Redis.from_url(redis_url) as redis:
        access = Access(given["TRUSTLESS_WORK_URL"], given["TRUSTLESS_WORK_API_KEY"])
        yield Bench(
            network=network,
            horizon=Horizon(given["HORIZON_URL"], network, client),
            rpc=ContractRpc(given["STELLAR_RPC_URL"], network, client),
            trustless=TrustlessWork(access, network.usdc_issuer, RequestBudget(redis, "tw", 0), client),
            vault=Vault(LocalKeyEncryption(bytes(32)), network.passphrase),
            client=client,
            control_url=given["SANDBOX_CONTROL_URL"],
        )


async def activated(bench: Bench, sponsor: Wallet, *wallets: Wallet) -> None:
    """Fund the sponsor, give it a trustline, and let it carry the wallets' reserves."""
    assert await bench.horizon.friendbot(sponsor.address)
    for intent, signers in (
        (TrustAsset(sponsor.address), (sponsor,)),
        (ActivateWallets(sponsor.address, tuple(one.address for one in wallets)), (sponsor, *wallets)),
    ):
        placement = Placement(await bench.sequence(sponsor.address) + 1, 200, await bench.now() + 100)
        built = build_envelope(bench.network, intent, placement)
        answer = await bench.horizon.submit(encode_envelope(bench.sign(built.envelope_xdr, built.inner_hash, *signers)))
        assert answer.record is not None, answer
        assert isinstance(await bench.outcome(built, sponsor.address), Applied)


async def test_an_escrow_from_deployment_to_release(bench: Bench) -> None:
    platform, buyer, seller = (bench.wallet(name) for name in ("platform", "buyer", "seller"))
    await activated(bench, platform, buyer, seller)
    sponsored = await bench.horizon.account(buyer.address)
    assert sponsored is not None
    assert (sponsored.sponsor, sponsored.usdc_stroops, sponsored.xlm_stroops) == (platform.address, 0, 0)
    await bench.faucet(buyer.address, "80.00")

    terms = terms_of(platform, buyer, seller)
    deployment = await bench.verified(DeployEscrow(platform.address, terms))
    signed = bench.sign(deployment.envelope_xdr, deployment.inner_hash, platform)
    sent = await bench.trustless.send_transaction(encode_envelope(signed))
    assert (sent.accepted, sent.contract_id) == (True, deployment.contract_id)
    assert isinstance(await bench.outcome(deployment, platform.address), Applied)

    escrow = deployment.contract_id
    steps: list[tuple[EscrowIntent, Wallet]] = [
        (FundEscrow(buyer.address, escrow, terms, AMOUNT_STROOPS), buyer),
        (ChangeMilestoneStatus(seller.address, escrow, 0, "completed", ""), seller),
        (ApproveMilestone(buyer.address, escrow, 0), buyer),
        (ReleaseFunds(buyer.address, escrow), buyer),
    ]
    hashes = [await carried_out(bench, intent, wallet, platform) for intent, wallet in steps]

    funding, _, _, release = [movements_of(await bench.horizon.payments_of(one), bench.network.usdc_issuer, escrow) for one in hashes]
    assert funding == [Movement(buyer.address, escrow, AMOUNT_STROOPS)]
    split = split_release(AMOUNT_STROOPS, terms.platform_fee_bps)
    assert release == [
        Movement(escrow, bench.network.protocol_fee_address, split.protocol_fee_stroops),
        Movement(escrow, platform.address, split.platform_fee_stroops),
        Movement(escrow, seller.address, split.receiver_stroops),
    ]
    paid = await bench.horizon.account(seller.address)
    assert paid is not None
    assert paid.usdc_stroops == split.receiver_stroops
    with pytest.raises(EscrowRejectedError):
        await bench.trustless.build(ReleaseFunds(buyer.address, escrow), Priority.RELEASE)


async def test_a_disputed_escrow_is_divided(bench: Bench) -> None:
    platform, buyer, seller = await parties(bench)
    terms = terms_of(platform, buyer, seller)
    escrow = await deployed(bench, platform, terms)
    shares = ((seller.address, 600_000_001), (buyer.address, 199_999_999))
    steps: list[tuple[EscrowIntent, Wallet]] = [
        (FundEscrow(buyer.address, escrow, terms, AMOUNT_STROOPS), buyer),
        (FreezeEscrow(seller.address, escrow), seller),
        (ResolveEscrow(platform.address, escrow, shares), platform),
    ]
    *_, resolution = [await carried_out(bench, intent, wallet, platform) for intent, wallet in steps]
    payout = pay_out(600_000_001, 199_999_999, terms.platform_fee_bps)
    paid = await paid_by(bench, resolution, escrow)
    assert paid[:2] == [
        Movement(escrow, bench.network.protocol_fee_address, payout.protocol_fee_stroops),
        Movement(escrow, platform.address, payout.platform_fee_stroops),
    ]
    assert sorted(paid[2:], key=lambda movement: movement.amount_stroops) == [
        Movement(escrow, buyer.address, payout.buyer_stroops),
        Movement(escrow, seller.address, payout.seller_stroops),
    ]
    assert await bench.rpc.held_by_contract(escrow) == 0


async def test_an_escrow_paid_per_milestone_to_the_last_unit(bench: Bench) -> None:
    """Read back before it is funded, one milestone released, the other divided, and what was too much withdrawn."""
    platform, buyer, seller = await parties(bench)
    terms = replace(terms_of(platform, buyer, seller), milestones=("One", "Two"), milestone_amounts=(AMOUNT_STROOPS - 1, 1))
    escrow = await deployed(bench, platform, terms)
    funding = FundEscrow(buyer.address, escrow, terms, AMOUNT_STROOPS)
    entry = await bench.rpc.instance_of(escrow)
    assert entry is not None
    check_contract(bench.network, funding, entry)
    await bench.faucet(buyer.address, "0.0000002")
    await carried_out(bench, replace(funding, amount_stroops=AMOUNT_STROOPS + 2), buyer, platform)
    assert await bench.rpc.held_by_contract(escrow) == AMOUNT_STROOPS + 2
    steps: list[tuple[EscrowIntent, Wallet]] = [
        (ChangeMilestoneStatus(seller.address, escrow, 0, "completed", "", on_multi_release=True), seller),
        (ApproveMilestone(buyer.address, escrow, 0, on_multi_release=True), buyer),
        (ReleaseFunds(buyer.address, escrow, 0), buyer),
        (FreezeEscrow(buyer.address, escrow, 1), buyer),
        (ResolveEscrow(platform.address, escrow, ((buyer.address, 1),), 1), platform),
    ]
    hashes = [await carried_out(bench, intent, wallet, platform) for intent, wallet in steps]
    split = split_release(AMOUNT_STROOPS - 1, terms.platform_fee_bps)
    assert (await paid_by(bench, hashes[2], escrow))[2] == Movement(escrow, seller.address, split.receiver_stroops)
    assert await paid_by(bench, hashes[4], escrow) == [Movement(escrow, buyer.address, 1)]
    ledger = (await bench.horizon.latest_ledger()).sequence
    assert await bench.rpc.held_by_contract(escrow, ledger) == 2
    withdrawn = await carried_out(bench, WithdrawRemaining(platform.address, escrow, ((buyer.address, 2),)), platform, platform)
    assert await paid_by(bench, withdrawn, escrow) == [Movement(escrow, buyer.address, 2)]
    assert await bench.rpc.held_by_contract(escrow) == 0


async def parties(bench: Bench) -> tuple[Wallet, Wallet, Wallet]:
    platform, buyer, seller = (bench.wallet(name) for name in ("platform", "buyer", "seller"))
    await activated(bench, platform, buyer, seller)
    await bench.faucet(buyer.address, "80.00")
    return platform, buyer, seller


async def deployed(bench: Bench, platform: Wallet, terms: EscrowTerms) -> str:
    deployment = await bench.verified(DeployEscrow(platform.address, terms))
    sent = await bench.trustless.send_transaction(encode_envelope(bench.sign(deployment.envelope_xdr, deployment.inner_hash, platform)))
    assert (sent.accepted, sent.contract_id) == (True, deployment.contract_id)
    return deployment.contract_id


async def paid_by(bench: Bench, transaction_hash: str, escrow: str) -> list[Movement]:
    return movements_of(await bench.horizon.payments_of(transaction_hash), bench.network.usdc_issuer, escrow)


async def carried_out(bench: Bench, intent: EscrowIntent, wallet: Wallet, payer: Wallet) -> str:
    envelope = await bench.verified(intent)
    with pytest.raises(IntentMismatchError):
        verify_envelope(
            bench.network,
            ApproveMilestone(intent.source, envelope.contract_id, 7),
            envelope.envelope_xdr,
            EnvelopeBounds(await bench.now(), 1),
        )
    bumped = bench.bump(bench.sign(envelope.envelope_xdr, envelope.inner_hash, wallet), payer)
    first, again = await bench.horizon.submit(bumped), await bench.horizon.submit(bumped)
    assert first.record is not None, first
    assert again.record is not None, again
    assert (first.record.inner_hash, first.record.hash) == (envelope.inner_hash, again.record.hash)
    assert first.record.hash != envelope.inner_hash
    outcome = await bench.outcome(envelope, intent.source)
    assert isinstance(outcome, Applied)
    assert await bench.trustless.tell_index(outcome.record.hash)
    return envelope.inner_hash


async def test_a_refusal_of_the_contract_is_read_with_its_name(bench: Bench) -> None:
    """The escrow changes between building and applying the funding: the contract itself must say no, and we must hear why."""
    platform, buyer, seller = await parties(bench)
    terms = terms_of(platform, buyer, seller)
    escrow = await deployed(bench, platform, terms)

    funding = await bench.verified(FundEscrow(buyer.address, escrow, terms, AMOUNT_STROOPS))
    await carried_out(bench, ChangeMilestoneStatus(seller.address, escrow, 0, "completed", ""), seller, platform)
    answer = await bench.horizon.submit(bench.bump(bench.sign(funding.envelope_xdr, funding.inner_hash, buyer), platform))
    assert answer.record is None
    attempt = Attempt(funding.inner_hash, buyer.address, funding.sequence, funding.max_time)
    seen = await bench.horizon.observe(funding.inner_hash, buyer.address, funding.sequence)
    outcome = decide(attempt, seen, Trace(answer.diagnostic_events, bench.network.usdc_contract))
    assert isinstance(outcome, Refused)
    assert outcome.failure.codes == ("tx_fee_bump_inner_failed", "tx_failed", "trapped")
    assert outcome.failure.contract_error == ContractError(33, "EscrowPropertiesMismatch")
    assert await bench.horizon.payments_of(funding.inner_hash) == []


async def test_a_refusal_of_the_multi_release_contract_is_not_read_by_the_numbers_of_the_other(bench: Bench) -> None:
    platform, buyer, seller = await parties(bench)
    terms = replace(terms_of(platform, buyer, seller), milestone_amounts=(AMOUNT_STROOPS,))
    escrow = await deployed(bench, platform, terms)
    await carried_out(bench, FundEscrow(buyer.address, escrow, terms, AMOUNT_STROOPS), buyer, platform)
    late = await bench.verified(FreezeEscrow(buyer.address, escrow, 0))
    await carried_out(bench, FreezeEscrow(seller.address, escrow, 0), seller, platform)
    answer = await bench.horizon.submit(bench.bump(bench.sign(late.envelope_xdr, late.inner_hash, buyer), platform))
    seen = await bench.horizon.observe(late.inner_hash, buyer.address, late.sequence)
    trace = Trace(answer.diagnostic_events, bench.network.usdc_contract, is_multi_release=True)
    outcome = decide(Attempt(late.inner_hash, buyer.address, late.sequence, late.max_time), seen, trace)
    assert isinstance(outcome, Refused)
    assert outcome.failure.sentence == "The contract refused: MilestoneAlreadyInDispute (#24)."


async def test_an_envelope_never_sent_is_dead_only_when_its_time_or_sequence_has_passed(bench: Bench) -> None:
    sponsor = bench.wallet("sponsor")
    assert await bench.horizon.friendbot(sponsor.address)
    sequence = await bench.sequence(sponsor.address) + 1
    placement = Placement(sequence, 200, await bench.now() + 100)
    never_sent = build_envelope(bench.network, TrustAsset(sponsor.address), placement)
    assert isinstance(await bench.outcome(never_sent, sponsor.address), Pending)

    other = build_envelope(bench.network, TrustAsset(sponsor.address), replace(placement, base_fee_stroops=300))
    await bench.horizon.submit(encode_envelope(bench.sign(other.envelope_xdr, other.inner_hash, sponsor)))
    overtaken = await bench.outcome(never_sent, sponsor.address)
    assert isinstance(overtaken, Dead)
    assert other.inner_hash in overtaken.proof


async def test_deposits_are_streamed_without_gap(bench: Bench) -> None:
    sponsor, user = bench.wallet("sponsor"), bench.wallet("user")
    await activated(bench, sponsor, user)
    start = (await bench.horizon.latest_ledger()).sequence << 32
    found: list[tuple[str, int, str]] = []

    async def read() -> None:
        async for record in bench.horizon.stream_payments(str(start)):
            found.extend(
                (one.recipient, one.amount_stroops, one.asset) for one in incoming_payments(record.body, bench.network.usdc_issuer)
            )
            if len(found) >= 3:
                return

    reading = asyncio.create_task(read())
    for amount in ("1.00", "2.50", "0.0000001"):
        await bench.faucet(user.address, amount)
    await asyncio.wait_for(reading, 120)
    assert [one for one in found if one[0] == user.address] == [
        (user.address, 10_000_000, "USDC"),
        (user.address, 25_000_000, "USDC"),
        (user.address, 1, "USDC"),
    ]


def terms_of(platform: Wallet, buyer: Wallet, seller: Wallet) -> EscrowTerms:
    return replace(
        TERMS,
        approver=buyer.address,
        service_provider=seller.address,
        platform=platform.address,
        release_signer=buyer.address,
        dispute_resolver=platform.address,
        receiver=seller.address,
        amount_stroops=AMOUNT_STROOPS,
        milestones=("All of it",),
    )
