from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from stellar_sdk import TransactionEnvelope

from sandbox.trustless import identity
from sandbox.trustless.index import EscrowIndex
from sandbox.trustless.request_limit import RequestLimit
from sandbox.trustless.router import build_router
from tests.sandbox_trustless.memory_ledger import MemoryLedger
from tests.sandbox_trustless.memory_world import (
    BUYER,
    ISSUER,
    PASSPHRASE,
    PLATFORM,
    RECEIVER,
    RELEASER,
    RESOLVER,
    SELLER,
    STRANGER,
    UNIT,
    keypair,
    world,
)

SINGLE = "/trustless-work/escrow/single-release"
NAMES = {BUYER: "buyer", SELLER: "seller", PLATFORM: "platform", RELEASER: "releaser", RESOLVER: "resolver", STRANGER: "stranger"}


def deploy_body(**changes: object) -> dict[str, object]:
    body: dict[str, object] = {
        "signer": BUYER,
        "engagementId": "ord_1",
        "title": "Order 1",
        "description": "a logo",
        "roles": {
            "approver": BUYER,
            "serviceProvider": SELLER,
            "platformAddress": PLATFORM,
            "releaseSigner": RELEASER,
            "disputeResolver": RESOLVER,
            "receiver": RECEIVER,
        },
        "amount": 100,
        "platformFee": 5,
        "milestones": [{"description": "deliver"}],
        "trustline": {"address": ISSUER, "symbol": "USDC"},
    }
    return body | changes


@dataclass
class Service:
    """The API over HTTP with the ledger behind it."""

    client: httpx.AsyncClient
    ledger: MemoryLedger

    async def build(self, path: str, body: dict[str, object]) -> str:
        response = await self.client.post(path, json=body)
        assert response.status_code in {200, 201}, response.text
        assert response.json()["status"] == "SUCCESS"
        envelope: str = response.json()["unsignedTransaction"]
        return envelope

    def sign(self, unsigned_xdr: str) -> str:
        envelope = TransactionEnvelope.from_xdr(unsigned_xdr, PASSPHRASE)
        envelope.sign(keypair(NAMES[envelope.transaction.source.account_id]))
        return envelope.to_xdr()

    async def send(self, signed_xdr: str) -> httpx.Response:
        return await self.client.post("/trustless-work/helper/send-transaction", json={"signedXdr": signed_xdr})

    async def deploy(self, **changes: object) -> str:
        unsigned = await self.build("/trustless-work/deployer/single-release", deploy_body(**changes))
        response = await self.send(self.sign(unsigned))
        assert response.status_code == 200, response.text
        contract_id: str = response.json()["contractId"]
        return contract_id

    async def call(self, step: str, body: dict[str, object]) -> str:
        """Build, sign and apply without telling the API; answers the transaction's hash."""
        signed = self.sign(await self.build(f"{SINGLE}/{step}", body))
        outcome = self.ledger.apply(signed)
        assert outcome.successful, outcome
        return outcome.hash

    async def read(self, contract_id: str, **query: str) -> dict[str, object]:
        response = await self.client.get(
            "/trustless-work/helper/get-escrow-by-contract-ids", params={"contractIds[]": contract_id, **query}
        )
        (document,) = response.json()
        assert isinstance(document, dict)
        return document


def application(ledger: MemoryLedger, home: Path, requests_per_minute: int = 0) -> FastAPI:
    app = FastAPI()
    app.include_router(build_router(ledger, RequestLimit(requests_per_minute), EscrowIndex(home)), prefix="/trustless-work")
    return app


def http_client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://sandbox", headers={"x-api-key": identity(PASSPHRASE)["apiKey"]}
    )


@pytest.fixture
def ledger() -> MemoryLedger:
    return MemoryLedger(world(buyer=1_000 * UNIT), dict.fromkeys(NAMES, 41))


@pytest.fixture
async def service(ledger: MemoryLedger, tmp_path: Path) -> AsyncIterator[Service]:
    async with http_client(application(ledger, tmp_path)) as client:
        yield Service(client, ledger)
