"""A multi-release escrow over the real sandbox process: footprints, signatures, movements, and its record over RPC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from stellar_sdk import SorobanServer, xdr

from sandbox.contracts.multi_release_record import MilestoneFlags, MultiReleaseEscrow, as_multi_release
from sandbox.ledger.footprint import instance_key
from tests.sandbox.network import Network
from tests.sandbox.trustless_parties import Parties
from tests.sandbox_trustless.test_process import changes


@pytest.fixture
def parties(tmp_path: Path) -> Iterator[Parties]:
    network = Network(tmp_path)
    network.http.headers["x-api-key"] = network.trustless["apiKey"]
    yield Parties(network, network.wallet("250.5"), network.wallet(), network.wallet())
    network.kill()


def read_back(network: Network, contract_id: str) -> tuple[str, MultiReleaseEscrow]:
    """Code and record as the ledger holds them, whatever Trustless Work says."""
    with SorobanServer(network.url + network.control("state")["rpcUrl"]) as rpc:
        (found,) = rpc.get_ledger_entries([instance_key(contract_id)]).entries or []
    data = xdr.LedgerEntryData.from_xdr(found.xdr).contract_data
    assert data is not None
    instance = data.val.instance
    assert instance is not None
    assert instance.storage is not None
    assert instance.executable.wasm_hash is not None
    (entry,) = instance.storage.sc_map
    return instance.executable.wasm_hash.hash.hex(), as_multi_release(entry.val)


def update(parties: Parties, transaction: dict[str, Any]) -> None:
    answer = parties.network.http.put("/trustless-work/indexer/update-from-txhash", json={"txHash": transaction["hash"]})
    assert answer.json()["status"] == "SUCCESS", answer.text


def test_an_escrow_of_two_milestones_from_deployment_to_the_last_withdrawal(parties: Parties) -> None:
    network, buyer, seller, platform = parties.network, parties.buyer, parties.seller, parties.platform
    contract_id = parties.deploy_multi()
    code, deployed = read_back(network, contract_id)
    assert code == network.trustless["multiReleaseWasmHash"]
    assert [milestone.amount_stroops for milestone in deployed.milestones] == [60 * 10**7, 40 * 10**7]
    fee_address = network.trustless["feeAddress"]

    def paid(transaction: dict[str, Any]) -> dict[str, str]:
        moved = changes(network, transaction["hash"])
        assert {source for source, _, _ in moved} == {contract_id}
        assert [target for _, target, _ in moved][:2] == [fee_address, platform.public_key]
        return {target: amount for _, target, amount in moved[2:]}

    parties.call_multi("fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=101)
    first, second = {"milestoneIndex": "0"}, {"milestoneIndex": "1"}
    parties.call_multi(
        "change-milestone-status", contract_id, seller, **first, newStatus="done", newEvidence="x", serviceProvider=seller.public_key
    )
    parties.call_multi("approve-milestone", contract_id, buyer, **first, approver=buyer.public_key)
    released = parties.call_multi("release-milestone-funds", contract_id, buyer, **first, releaseSigner=buyer.public_key)
    assert paid(released) == {seller.public_key: "56.8200000"}
    parties.call_multi("dispute-milestone", contract_id, seller, **second, signer=seller.public_key)
    shares = [{"address": buyer.public_key, "amount": 30}, {"address": seller.public_key, "amount": 10}]
    resolver = {"disputeResolver": platform.public_key}
    resolved = parties.call_multi("resolve-milestone-dispute", contract_id, platform, **second, **resolver, distributions=shares)
    assert paid(resolved) == {buyer.public_key: "28.4100000", seller.public_key: "9.4700000"}
    rest = [{"address": buyer.public_key, "amount": 1}]
    withdrawn = parties.call_multi("withdraw-remaining-funds", contract_id, platform, **resolver, distributions=rest)
    assert paid(withdrawn) == {buyer.public_key: "0.9470000"}
    assert [each.flags for each in read_back(network, contract_id)[1].milestones] == [
        MilestoneFlags(approved=True, released=True),
        MilestoneFlags(resolved=True),
    ]
    update(parties, withdrawn)
    (document,) = parties.indexed(contract_id)
    assert (document["balance"], [each["status"] for each in document["milestones"]]) == (0, ["done", "resolved"])


def test_what_the_index_knows_of_it_survives_a_restart(parties: Parties) -> None:
    network, buyer, contract_id = parties.network, parties.buyer, parties.deploy_multi()
    funded = parties.call_multi("fund-escrow", contract_id, buyer, signer=buyer.public_key, amount=100)
    network.kill()
    network.start()
    network.http.headers["x-api-key"] = network.trustless["apiKey"]
    update(parties, funded)
    (document,) = parties.indexed(contract_id)
    assert (document["type"], document["balance"]) == ("multi-release", 100)
