"""The three parties of an order and what they send to Trustless Work, over the real sandbox process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx
from stellar_sdk import Keypair, TransactionEnvelope

from tests.sandbox.network import Network

SINGLE = "/trustless-work/escrow/single-release"
DEPLOY = "/trustless-work/deployer/single-release"
MULTI = "/trustless-work/escrow/multi-release"
DEPLOY_MULTI = "/trustless-work/deployer/multi-release"
SEND = "/trustless-work/helper/send-transaction"


@dataclass
class Parties:
    """Buyer approves and releases, platform pays fees and resolves."""

    network: Network
    buyer: Keypair
    seller: Keypair
    platform: Keypair

    def post(self, path: str, body: dict[str, object]) -> httpx.Response:
        return self.network.http.post(path, json=body, headers={"x-api-key": self.network.trustless["apiKey"]})

    def deploy_body(self) -> dict[str, object]:
        buyer, seller, platform = (party.public_key for party in (self.buyer, self.seller, self.platform))
        return {
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

    def multi_deploy_body(self) -> dict[str, object]:
        """The same terms in two milestones, both of them the seller's."""
        body = self.deploy_body()
        roles = body["roles"]
        assert isinstance(roles, dict)
        seller = roles.pop("receiver")
        del body["amount"]
        amounts = {"sketch": 60, "final": 40}
        return body | {"milestones": [{"description": each, "amount": amounts[each], "receiver": seller} for each in amounts]}

    def build(self, path: str, body: dict[str, object]) -> str:
        answer = self.post(path, body)
        assert answer.is_success, answer.text
        unsigned: str = answer.json()["unsignedTransaction"]
        return unsigned

    def sign(self, unsigned_xdr: str, signer: Keypair) -> TransactionEnvelope:
        envelope = TransactionEnvelope.from_xdr(unsigned_xdr, self.network.passphrase)
        envelope.sign(signer)
        return envelope

    def deploy(self) -> str:
        return self._deployed(self.build(DEPLOY, self.deploy_body()))

    def deploy_multi(self) -> str:
        return self._deployed(self.build(DEPLOY_MULTI, self.multi_deploy_body()))

    def call_multi(self, name: str, contract_id: str, signer: Keypair, /, **body: object) -> dict[str, Any]:
        unsigned = self.build(f"{MULTI}/{name}", {"contractId": contract_id, **body})
        return self.network.submit(self.sign(unsigned, signer))

    def _deployed(self, unsigned_xdr: str) -> str:
        answer = self.send(self.sign(unsigned_xdr, self.platform))
        assert answer.json()["status"] == "SUCCESS", answer.text
        return str(answer.json()["contractId"])

    def send(self, envelope: TransactionEnvelope) -> httpx.Response:
        return self.post(SEND, {"signedXdr": envelope.to_xdr()})

    def fund_body(self, contract_id: str) -> dict[str, object]:
        return {"contractId": contract_id, "signer": self.buyer.public_key, "amount": 100}

    def fund(self, contract_id: str) -> dict[str, Any]:
        return self.network.submit(self.sign(self.build(f"{SINGLE}/fund-escrow", self.fund_body(contract_id)), self.buyer))

    def indexed(self, contract_id: str) -> list[dict[str, Any]]:
        answer = self.network.http.get(
            "/trustless-work/helper/get-escrow-by-contract-ids",
            params={"contractIds[]": contract_id},
            headers={"x-api-key": self.network.trustless["apiKey"]},
        )
        found: list[dict[str, Any]] = answer.json()
        return found
