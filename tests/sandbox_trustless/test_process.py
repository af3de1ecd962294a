"""Escrows over the real sandbox process, driven as the server drives it.

Deployments go through Trustless Work; every other transaction goes straight to Horizon inside a fee bump.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import Keypair

from tests.sandbox.network import Network, codes
from tests.sandbox.trustless_parties import DEPLOY, SINGLE, Parties


def step(parties: Parties, name: str, contract_id: str, wallet: Keypair, /, **body: object) -> dict[str, Any]:
    inner = parties.sign(parties.build(f"{SINGLE}/{name}", {"contractId": contract_id, **body}), wallet)
    return parties.network.submit(parties.network.bump(inner, parties.platform, base_fee=inner.transaction.fee))


def changes(network: Network, transaction_hash: str) -> list[tuple[str, str, str]]:
    """Token movements of one transaction, as Horizon tells them."""
    (operation,) = network.records(f"/transactions/{transaction_hash}/operations")
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
    funded = step(parties, "fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=100)
    assert changes(network, funded["hash"]) == [(buyer.public_key, contract_id, "100.0000000")]
    delivered = {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": seller.public_key}
    step(parties, "change-milestone-status", contract_id, seller, **delivered)
    step(parties, "approve-milestone", contract_id, buyer, milestoneIndex="0", approver=buyer.public_key)
    released = step(parties, "release-funds", contract_id, buyer, releaseSigner=buyer.public_key)
    assert changes(network, released["hash"]) == [
        (contract_id, network.trustless["feeAddress"], "0.3000000"),
        (contract_id, platform.public_key, "5.0000000"),
        (contract_id, seller.public_key, "94.7000000"),
    ]
    assert network.balance(buyer, network.usdc) == "150.5000000"
    assert parties.indexed(contract_id)[0]["flags"] == {"disputed": False, "released": False, "resolved": False}
    network.kill()
    network.start()
    network.http.headers["x-api-key"] = network.trustless["apiKey"]
    update = network.http.put("/trustless-work/indexer/update-from-txhash", json={"txHash": released["hash"]})
    assert update.json()["status"] == "SUCCESS", update.text
    assert parties.indexed(contract_id)[0]["flags"] == {"disputed": False, "released": True, "resolved": False}


def test_a_deploy_sent_again_gets_the_same_answer(parties: Parties) -> None:
    envelope = parties.sign(parties.build(DEPLOY, parties.deploy_body()), parties.platform)
    first = parties.send(envelope)
    assert first.json()["contractId"]
    assert parties.send(envelope).json() == first.json()


def test_a_disputed_escrow_goes_back_to_the_buyer_less_the_fees(parties: Parties) -> None:
    network, buyer, platform = parties.network, parties.buyer, parties.platform
    contract_id = parties.deploy()
    step(parties, "fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=100)
    step(parties, "dispute-escrow", contract_id, buyer, signer=buyer.public_key)
    shares = [{"address": buyer.public_key, "amount": 100}]
    resolved = step(parties, "resolve-dispute", contract_id, platform, disputeResolver=platform.public_key, distributions=shares)
    assert changes(network, resolved["hash"]) == [
        (contract_id, network.trustless["feeAddress"], "0.3000000"),
        (contract_id, platform.public_key, "5.0000000"),
        (contract_id, buyer.public_key, "94.7000000"),
    ]
    assert network.balance(buyer, network.usdc) == "245.2000000"
    update = network.http.put("/trustless-work/indexer/update-from-txhash", json={"txHash": resolved["hash"]})
    assert update.json()["status"] == "SUCCESS", update.text
    (document,) = parties.indexed(contract_id)
    assert (document["balance"], document["flags"]) == (0, {"disputed": False, "released": False, "resolved": True})
    balances = network.http.get("/trustless-work/helper/get-multiple-escrow-balance", params={"addresses[]": contract_id})
    assert balances.json() == [{"address": contract_id, "balance": 0}]


def test_funding_built_before_the_record_changed_fails_on_the_ledger(parties: Parties) -> None:
    network, buyer, seller = parties.network, parties.buyer, parties.seller
    contract_id = parties.deploy()
    fund = {"contractId": contract_id, "signer": buyer.public_key, "amount": 100}
    stale = parties.sign(parties.build(f"{SINGLE}/fund-escrow", fund), buyer)
    delivered = {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": seller.public_key}
    step(parties, "change-milestone-status", contract_id, seller, **delivered)
    refused = network.post(stale)
    assert codes(refused)["transaction"] == "tx_failed"
    assert network.balance(buyer, network.usdc) == "250.5000000"
    update = network.http.put("/trustless-work/indexer/update-from-txhash", json={"txHash": stale.hash_hex()})
    assert update.json()["status"] == "FAILED"
