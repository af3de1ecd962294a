"""One escrow from deployment to release over the real sandbox process, the way the server drives it.

The deployment goes through Trustless Work; every other transaction goes straight to Horizon inside a fee bump.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from stellar_sdk import Account, Asset, ChangeTrust, Keypair, TransactionBuilder, TransactionEnvelope

PROJECT = Path(__file__).parents[2]
START_TIMEOUT_S = 20
SINGLE = "/trustless-work/escrow/single-release"


@contextmanager
def running_sandbox(home: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--port", str(port), "--home", str(home), "--interval-seconds", "0", "--trustless-requests-per-minute", "0"]
    process = subprocess.Popen([sys.executable, "-m", "sandbox", *options], cwd=PROJECT)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(url, process)
        yield url
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            httpx.get(f"{url}/control/state").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the sandbox did not start")


@dataclass
class Network:
    client: httpx.Client
    passphrase: str
    usdc: Asset

    def account(self, name: str) -> Keypair:
        """A funded account with a USDC trustline."""
        keypair = Keypair.from_raw_ed25519_seed(name.encode().ljust(32, b"."))
        self.client.get("/friendbot", params={"addr": keypair.public_key}).raise_for_status()
        sequence = int(self.client.get(f"/accounts/{keypair.public_key}").json()["sequence"])
        builder = TransactionBuilder(Account(keypair.public_key, sequence), self.passphrase).set_timeout(60)
        envelope = builder.append_operation(ChangeTrust(self.usdc)).build()
        envelope.sign(keypair)
        self.client.post("/transactions", data={"tx": envelope.to_xdr()}).raise_for_status()
        return keypair

    def build(self, path: str, body: dict[str, object], signer: Keypair) -> TransactionEnvelope:
        response = self.client.post(path, json=body)
        assert response.is_success, response.text
        envelope = TransactionEnvelope.from_xdr(response.json()["unsignedTransaction"], self.passphrase)
        envelope.sign(signer)
        return envelope

    def submit_bumped(self, inner: TransactionEnvelope, payer: Keypair) -> str:
        bump = TransactionBuilder.build_fee_bump_transaction(payer, inner.transaction.fee + 1_000, inner, self.passphrase)
        bump.sign(payer)
        response = self.client.post("/transactions", data={"tx": bump.to_xdr()})
        assert response.json().get("successful") is True, response.text
        return str(response.json()["hash"])

    def usdc_balance(self, address: str) -> str:
        lines = self.client.get(f"/accounts/{address}").json()["balances"]
        return next(str(line["balance"]) for line in lines if line.get("asset_code") == "USDC")

    def escrow(self, contract_id: str) -> dict[str, object]:
        (found,) = self.client.get("/trustless-work/helper/get-escrow-by-contract-ids", params={"contractIds[]": contract_id}).json()
        assert isinstance(found, dict)
        return found


@contextmanager
def connected(url: str) -> Iterator[Network]:
    with httpx.Client(base_url=url, timeout=40) as client:
        state = client.get("/control/state").json()
        client.headers["x-api-key"] = state["trustlessWork"]["apiKey"]
        yield Network(client, state["networkPassphrase"], Asset(state["usdc"]["code"], state["usdc"]["issuer"]))


def deploy(network: Network, buyer: Keypair, seller: Keypair, platform: Keypair) -> str:
    roles = {
        "approver": buyer.public_key,
        "serviceProvider": seller.public_key,
        "platformAddress": platform.public_key,
        "releaseSigner": buyer.public_key,
        "disputeResolver": platform.public_key,
        "receiver": seller.public_key,
    }
    body: dict[str, object] = {
        "signer": platform.public_key,
        "engagementId": "ord_1",
        "title": "Order 1",
        "description": "a logo",
        "roles": roles,
        "amount": 100,
        "platformFee": 5,
        "milestones": [{"description": "deliver"}],
        "trustline": {"address": network.usdc.issuer, "symbol": "USDC"},
    }
    envelope = network.build("/trustless-work/deployer/single-release", body, platform)
    answer = network.client.post("/trustless-work/helper/send-transaction", json={"signedXdr": envelope.to_xdr()})
    assert answer.json()["status"] == "SUCCESS", answer.text
    return str(answer.json()["contractId"])


def test_an_escrow_from_deployment_to_release(tmp_path: Path) -> None:
    with running_sandbox(tmp_path) as url, connected(url) as network:
        buyer, seller, platform = (network.account(name) for name in ("buyer", "seller", "platform"))
        network.client.post("/control/faucet", json={"address": buyer.public_key, "amount": "250.5"}).raise_for_status()
        contract_id = deploy(network, buyer, seller, platform)
        assert network.escrow(contract_id)["balance"] == 0
        steps: list[tuple[str, dict[str, object], Keypair]] = [
            ("fund-escrow", {"signer": buyer.public_key, "amount": 100}, buyer),
            ("change-milestone-status", {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": seller.public_key}, seller),
            ("approve-milestone", {"milestoneIndex": "0", "approver": buyer.public_key}, buyer),
            ("release-funds", {"releaseSigner": buyer.public_key}, buyer),
        ]
        for step, body, signer in steps:
            envelope = network.build(f"{SINGLE}/{step}", {"contractId": contract_id, **body}, signer)
            last_hash = network.submit_bumped(envelope, platform)
        assert network.usdc_balance(buyer.public_key) == "150.5000000"
        assert network.usdc_balance(seller.public_key) == "94.7000000"
        assert network.usdc_balance(platform.public_key) == "5.0000000"
        assert network.escrow(contract_id)["flags"] == {"disputed": False, "released": False, "resolved": False}
    with running_sandbox(tmp_path) as url, connected(url) as network:  # killed and started again on the same home
        update = network.client.put("/trustless-work/indexer/update-from-txhash", json={"txHash": last_hash})
        assert update.json()["status"] == "SUCCESS", update.text
        assert network.escrow(contract_id)["flags"] == {"disputed": False, "released": True, "resolved": False}
