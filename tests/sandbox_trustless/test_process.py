"""Escrows over the real sandbox process, driven as the server drives it.

Deployments go through Trustless Work; every other transaction goes straight to Horizon inside a fee bump.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import Keypair, TransactionEnvelope

from tests.sandbox.network import Network, codes

SINGLE = "/trustless-work/escrow/single-release"


@dataclass
class Parties:
    """One network with the three parties of an order on it; buyer approves and releases, platform pays and resolves."""

    network: Network
    buyer: Keypair
    seller: Keypair
    platform: Keypair

    def build(self, path: str, body: dict[str, object], signer: Keypair) -> TransactionEnvelope:
        response = self.network.http.post(path, json=body)
        assert response.is_success, response.text
        envelope = TransactionEnvelope.from_xdr(response.json()["unsignedTransaction"], self.network.passphrase)
        envelope.sign(signer)
        return envelope

    def deploy(self) -> str:
        buyer, seller, platform = (party.public_key for party in (self.buyer, self.seller, self.platform))
        body: dict[str, object] = {
            "signer": platform,
            "engagementId": "ord_1",
            "title": "Order 1",
            "description": "a logo",
            "roles": {
                "approver": buyer,
                "serviceProvider": seller,
                "platformAddress": platform,
                "releaseSigner": buyer,
                "disputeResolver": platform,
                "receiver": seller,
            },
            "amount": 100,
            "platformFee": 5,
            "milestones": [{"description": "deliver"}],
            "trustline": {"address": self.network.usdc.issuer, "symbol": "USDC"},
        }
        envelope = self.build("/trustless-work/deployer/single-release", body, self.platform)
        answer = self.network.http.post("/trustless-work/helper/send-transaction", json={"signedXdr": envelope.to_xdr()})
        assert answer.json()["status"] == "SUCCESS", answer.text
        again = self.network.http.post("/trustless-work/helper/send-transaction", json={"signedXdr": envelope.to_xdr()})
        assert again.json() == answer.json()
        return str(answer.json()["contractId"])

    def step(self, name: str, contract_id: str, wallet: Keypair, /, **body: object) -> dict[str, Any]:
        inner = self.build(f"{SINGLE}/{name}", {"contractId": contract_id, **body}, wallet)
        return self.network.submit(self.network.bump(inner, self.platform, base_fee=inner.transaction.fee))

    def escrow(self, contract_id: str) -> dict[str, Any]:
        path = "/trustless-work/helper/get-escrow-by-contract-ids"
        (found,) = self.network.http.get(path, params={"contractIds[]": contract_id}).json()
        assert isinstance(found, dict)
        return found

    def changes(self, transaction_hash: str) -> list[tuple[str, str, str]]:
        """Token movements of one transaction, as Horizon tells them."""
        (operation,) = self.network.records(f"/transactions/{transaction_hash}/operations")
        return [(change["from"], change["to"], change["amount"]) for change in operation["asset_balance_changes"]]


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    network = Network(tmp_path)
    network.http.headers["x-api-key"] = network.trustless["apiKey"]
    yield Parties(network, network.wallet("250.5"), network.wallet(), network.wallet())
    network.kill()


def test_an_escrow_from_deployment_to_release(parties: Parties) -> None:
    network, buyer, seller, platform = parties.network, parties.buyer, parties.seller, parties.platform
    contract_id = parties.deploy()
    funded = parties.step("fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=100)
    assert parties.changes(funded["hash"]) == [(buyer.public_key, contract_id, "100.0000000")]
    delivered = {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": seller.public_key}
    parties.step("change-milestone-status", contract_id, seller, **delivered)
    parties.step("approve-milestone", contract_id, buyer, milestoneIndex="0", approver=buyer.public_key)
    released = parties.step("release-funds", contract_id, buyer, releaseSigner=buyer.public_key)
    assert parties.changes(released["hash"]) == [
        (contract_id, network.trustless["feeAddress"], "0.3000000"),
        (contract_id, platform.public_key, "5.0000000"),
        (contract_id, seller.public_key, "94.7000000"),
    ]
    assert network.balance(buyer, network.usdc) == "150.5000000"
    assert parties.escrow(contract_id)["flags"] == {"disputed": False, "released": False, "resolved": False}
    network.kill()
    network.start()
    network.http.headers["x-api-key"] = network.trustless["apiKey"]
    update = network.http.put("/trustless-work/indexer/update-from-txhash", json={"txHash": released["hash"]})
    assert update.json()["status"] == "SUCCESS", update.text
    assert parties.escrow(contract_id)["flags"] == {"disputed": False, "released": True, "resolved": False}


def test_a_disputed_escrow_goes_back_to_the_buyer_less_the_fees(parties: Parties) -> None:
    network, buyer, platform = parties.network, parties.buyer, parties.platform
    contract_id = parties.deploy()
    parties.step("fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=100)
    parties.step("dispute-escrow", contract_id, buyer, signer=buyer.public_key)
    shares = [{"address": buyer.public_key, "amount": 100}]
    parties.step("resolve-dispute", contract_id, platform, disputeResolver=platform.public_key, distributions=shares)
    assert network.balance(buyer, network.usdc) == "245.2000000"
    balances = network.http.get("/trustless-work/helper/get-multiple-escrow-balance", params={"addresses[]": contract_id})
    assert balances.json() == [{"address": contract_id, "balance": 0}]


def test_funding_built_before_the_record_changed_fails_on_the_ledger(parties: Parties) -> None:
    network, buyer, seller = parties.network, parties.buyer, parties.seller
    contract_id = parties.deploy()
    fund = {"contractId": contract_id, "signer": buyer.public_key, "amount": 100}
    stale = parties.build(f"{SINGLE}/fund-escrow", fund, buyer)
    delivered = {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": seller.public_key}
    parties.step("change-milestone-status", contract_id, seller, **delivered)
    refused = network.post(stale)
    assert codes(refused)["transaction"] == "tx_failed"
    assert network.balance(buyer, network.usdc) == "250.5000000"
    update = network.http.put("/trustless-work/indexer/update-from-txhash", json={"txHash": stale.hash_hex()})
    assert update.json()["status"] == "FAILED"
