"""Trustless Work's faults; the server's own verifier judges the hostile envelopes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from stellar_sdk import TransactionEnvelope

from offerhub.domain.errors import IntentMismatchError
from offerhub.domain.intents import ApproveMilestone, DeployEscrow, EscrowIntent, EscrowTerms, FundEscrow, ReleaseFunds
from offerhub.stellar.network import StellarNetwork
from offerhub.stellar.verify import EnvelopeBounds, verify_envelope
from sandbox.faults.hostile import MUTATIONS
from sandbox.faults.kinds import KINDS
from tests.sandbox.faults import fault, inject, listed
from tests.sandbox.network import Network
from tests.sandbox.trustless_parties import DEPLOY, SINGLE, Parties

ONLY_DEPLOY = {"other_role", "other_wasm_hash"}
ONLY_DEPLOY_OR_RESOLVE = {"other_receiver"}
ONLY_APPROVE = {"other_milestone"}
ONLY_RELEASE = {"other_fee_address"}
# Judged by their arguments in test_hostile_calls.py.
ONLY_DISTRIBUTIONS = {"extra_distribution", "missing_distribution", "swapped_distributions"}


@pytest.fixture(scope="module")
def parties(shared_network: Network) -> Parties:
    shared_network.control("ledger", intervalSeconds=0)
    return Parties(shared_network, shared_network.wallet("1000"), shared_network.wallet(), shared_network.wallet())


@dataclass
class Calls:
    """One escrow, and what may be asked of it."""

    parties: Parties
    contract_id: str

    def terms(self) -> EscrowTerms:
        buyer, seller, platform = (each.public_key for each in (self.parties.buyer, self.parties.seller, self.parties.platform))
        return EscrowTerms("ord_1", "Order 1", "a logo", buyer, seller, platform, buyer, platform, seller, 100 * 10**7, 500, ("deliver",))

    def ask(self, name: str) -> tuple[str, dict[str, object], EscrowIntent]:
        buyer = self.parties.buyer.public_key
        if name == "deploy":
            return DEPLOY, self.parties.deploy_body(), DeployEscrow(self.parties.platform.public_key, self.terms())
        if name == "fund-escrow":
            intent: EscrowIntent = FundEscrow(buyer, self.contract_id, self.terms(), 100 * 10**7)
            return f"{SINGLE}/{name}", self.parties.fund_body(self.contract_id), intent
        if name == "approve-milestone":
            body: dict[str, object] = {"contractId": self.contract_id, "milestoneIndex": "0", "approver": buyer}
            return f"{SINGLE}/{name}", body, ApproveMilestone(buyer, self.contract_id, 0)
        return f"{SINGLE}/{name}", {"contractId": self.contract_id, "releaseSigner": buyer}, ReleaseFunds(buyer, self.contract_id)

    def judge(self, intent: EscrowIntent, unsigned_xdr: str) -> None:
        """Raises IntentMismatchError."""
        network, known = self.parties.network, self.parties.network.trustless
        names = StellarNetwork(network.passphrase, str(network.usdc.issuer), known["factory"], known["wasmHash"], known["feeAddress"])
        verified = verify_envelope(names, intent, unsigned_xdr, EnvelopeBounds(network.control("clock")["nowUnix"], 20_000_000))
        # As the server compares it: one past the account's.
        sequence = int(network.get(f"/accounts/{intent.source}")["sequence"]) + 1
        if verified.sequence != sequence:
            raise IntentMismatchError("sequence", sequence, verified.sequence)


@pytest.fixture(scope="module")
def calls(parties: Parties) -> Calls:
    return Calls(parties, parties.deploy())


@pytest.fixture(scope="module")
def releasable(parties: Parties) -> Calls:
    contract_id = parties.deploy()
    parties.fund(contract_id)
    body: dict[str, object] = {"contractId": contract_id, "milestoneIndex": "0", "approver": parties.buyer.public_key}
    parties.network.submit(parties.sign(parties.build(f"{SINGLE}/approve-milestone", body), parties.buyer))
    return Calls(parties, contract_id)


def suitable_call(mutation: str) -> str:
    if mutation in ONLY_DEPLOY | ONLY_DEPLOY_OR_RESOLVE:
        return "deploy"
    if mutation in ONLY_APPROVE:
        return "approve-milestone"
    return "release-funds" if mutation in ONLY_RELEASE else "fund-escrow"


@pytest.mark.parametrize("mutation", sorted(MUTATIONS.keys() - ONLY_DISTRIBUTIONS))
def test_every_hostile_envelope_is_one_that_the_server_refuses(calls: Calls, releasable: Calls, mutation: str) -> None:
    name = suitable_call(mutation)
    asked = releasable if name == "release-funds" else calls
    path, body, intent = asked.ask(name)
    asked.judge(intent, calls.parties.build(path, body))
    with fault(calls.parties.network, "tw_hostile", mutation=mutation, next=1):
        unsigned = calls.parties.build(path, body)
    with pytest.raises(IntentMismatchError):
        asked.judge(intent, unsigned)
    asked.judge(intent, calls.parties.build(path, body))


@pytest.mark.parametrize("mutation", sorted(ONLY_DEPLOY | ONLY_DEPLOY_OR_RESOLVE | ONLY_APPROVE | ONLY_RELEASE | ONLY_DISTRIBUTIONS))
def test_a_mutation_leaves_calls_alone_that_it_does_not_suit(calls: Calls, mutation: str) -> None:
    network = calls.parties.network
    path, body, intent = calls.ask("fund-escrow")
    fault_id = inject(network, "tw_hostile", mutation=mutation, next=1)
    calls.judge(intent, calls.parties.build(path, body))
    assert (listed(network)[fault_id]["fired"], listed(network)[fault_id]["active"]) == (0, True)
    network.http.delete(f"/control/faults/{fault_id}")


def test_whoever_signs_a_raised_amount_pays_it(parties: Parties) -> None:
    contract_id, network = parties.deploy(), parties.network
    with fault(network, "tw_hostile", mutation="other_amount", next=1):
        parties.fund(contract_id)
    balances = network.http.get(
        "/trustless-work/helper/get-multiple-escrow-balance",
        params={"addresses[]": contract_id},
        headers={"x-api-key": network.trustless["apiKey"]},
    )
    assert balances.json() == [{"address": contract_id, "balance": 100.0000001}]


@pytest.mark.parametrize("form", ["empty", "missing", "not_base64", "not_xdr", "truncated"])
def test_garbage_instead_of_a_transaction(calls: Calls, form: str) -> None:
    path, body, _ = calls.ask("fund-escrow")
    with fault(calls.parties.network, "tw_garbage", form=form, next=1):
        answer = calls.parties.post(path, body)
    assert answer.status_code == 201
    unsigned = answer.json().get("unsignedTransaction", "")
    assert ("unsignedTransaction" in answer.json()) is (form != "missing")
    with pytest.raises((ValueError, EOFError)):
        TransactionEnvelope.from_xdr(unsigned, calls.parties.network.passphrase)


def test_builds_that_expire_soon_are_still_known_to_the_index(parties: Parties) -> None:
    network = parties.network
    with fault(network, "tw_expire_builds", seconds=30, next=1):
        unsigned = parties.build(DEPLOY, parties.deploy_body())
    envelope = parties.sign(unsigned, parties.platform)
    bounds = envelope.transaction.preconditions
    assert bounds is not None
    assert bounds.time_bounds is not None
    assert bounds.time_bounds.max_time - network.control("clock")["nowUnix"] in range(28, 31)
    assert parties.send(envelope).json()["contractId"]


@pytest.mark.parametrize(("kind", "status"), [("tw_server_error", 500), ("tw_rate_limit", 429)])
def test_trustless_work_refuses(parties: Parties, kind: str, status: int) -> None:
    with fault(parties.network, kind, next=1):
        assert parties.network.http.get("/fee_stats").status_code == 200, "Horizon is another service"
        answer = parties.post(DEPLOY, parties.deploy_body())
        assert parties.post(DEPLOY, parties.deploy_body()).status_code == 201
    assert (answer.status_code, answer.json()["statusCode"]) == (status, status)
    assert (answer.headers.get("Retry-After") is not None) is (status == 429)


@pytest.mark.parametrize("applies", [True, False])
def test_trustless_work_times_out(parties: Parties, *, applies: bool) -> None:
    network = parties.network
    envelope = parties.sign(parties.build(DEPLOY, parties.deploy_body()), parties.platform)
    with fault(network, "tw_timeout", seconds=0.2, applies=applies, path="send-transaction"):
        asked = time.monotonic()
        with pytest.raises(httpx.RemoteProtocolError):
            parties.send(envelope)
        assert time.monotonic() - asked >= 0.2
    assert network.http.get(f"/transactions/{envelope.hash_hex()}").status_code == (200 if applies else 404)


def test_the_index_lags_behind(parties: Parties) -> None:
    with fault(parties.network, "tw_index_lag", seconds=3, next=1, function="tw_new_single_release_escrow"):
        contract_id = parties.deploy()
    assert parties.indexed(contract_id) == []
    refused = parties.post(f"{SINGLE}/fund-escrow", parties.fund_body(contract_id))
    assert (refused.status_code, refused.json()["message"]) == (400, "Escrow not found")
    while not (found := parties.indexed(contract_id)):
        time.sleep(0.1)
    assert [each["contractId"] for each in found] == [contract_id]
    assert parties.fund(contract_id)["successful"]


@pytest.mark.parametrize(("variant", "status", "sent"), [("not_sent", 200, False), ("answered_failed", 500, True)])
def test_a_deploy_is_lost(parties: Parties, variant: str, status: int, *, sent: bool) -> None:
    network = parties.network
    envelope = parties.sign(parties.build(DEPLOY, parties.deploy_body()), parties.platform)
    with fault(network, "tw_lose_deploy", variant=variant, next=1):
        answer = parties.send(envelope)
    honest: dict[str, Any] = parties.send(envelope).json() if sent else answer.json()
    assert answer.status_code == status
    assert answer.json()["status"] == ("FAILED" if sent else "SUCCESS")
    assert honest["contractId"].startswith("C")
    assert honest["escrow"]["engagementId"] == "ord_1"
    assert network.http.get(f"/transactions/{envelope.hash_hex()}").status_code == (200 if sent else 404)


def test_only_deploys_are_lost(parties: Parties) -> None:
    network, contract_id = parties.network, parties.deploy()
    fund = parties.sign(parties.build(f"{SINGLE}/fund-escrow", parties.fund_body(contract_id)), parties.buyer)
    fault_id = inject(network, "tw_lose_deploy")
    assert parties.send(fund).json()["status"] == "SUCCESS"
    assert network.get(f"/transactions/{fund.hash_hex()}")["successful"]
    assert listed(network)[fault_id]["fired"] == 0
    network.http.delete(f"/control/faults/{fault_id}")


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("tx_bad_seq", 400, "Transaction submission failed: tx_bad_seq"),
        ("function_trapped", 500, "The transaction could not be sent to the Stellar network for some unknown reason. Please try again."),
    ],
)
def test_the_networks_faults_reach_what_trustless_work_sends(parties: Parties, code: str, status: int, message: str) -> None:
    envelope = parties.sign(parties.build(DEPLOY, parties.deploy_body()), parties.platform)
    with fault(parties.network, "refuse_transaction", code=code, next=1, account=parties.platform.public_key):
        answer = parties.send(envelope)
    assert (answer.status_code, answer.json()["message"]) == (status, message)


def test_every_kind_of_fault_has_a_test() -> None:
    texts = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    assert [name for name in KINDS if f'"{name}"' not in texts] == []
