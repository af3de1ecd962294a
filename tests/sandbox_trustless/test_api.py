"""The API over HTTP: requests, refusals, submission, the lagging index."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest
from stellar_sdk import StrKey, TransactionBuilder, TransactionEnvelope

from sandbox.trustless import identity
from tests.sandbox_trustless.conftest import SINGLE, Service, application, deploy_body, http_client
from tests.sandbox_trustless.memory_ledger import CLOSE_TIME_S, MemoryLedger
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
    TOKEN,
    UNIT,
    keypair,
    state,
)

API = "/trustless-work"
UPDATE = f"{API}/indexer/update-from-txhash"


async def refusal(service: Service, path: str, body: dict[str, object]) -> str:
    response = await service.client.post(path, json=body)
    assert response.status_code == 400, response.text
    document = response.json()
    assert (document["error"], document["statusCode"]) == ("Bad Request", 400)
    message = document["message"]
    return message if isinstance(message, str) else "; ".join(message)


async def test_life_of_an_escrow_released(service: Service) -> None:
    contract_id = await service.deploy()
    known: dict[str, object] = {"contractId": contract_id}
    await service.call("fund-escrow", known | {"signer": BUYER, "amount": 100})
    await service.call("change-milestone-status", known | {"milestoneIndex": "0", "newStatus": "done", "serviceProvider": SELLER})
    await service.call("approve-milestone", known | {"milestoneIndex": "0", "approver": BUYER})
    released = await service.call("release-funds", known | {"releaseSigner": RELEASER})
    assert service.ledger.world.balances[TOKEN, RECEIVER] == 947_000_000
    assert (await service.client.put(UPDATE, json={"txHash": released})).json()["status"] == "SUCCESS"
    assert (await service.read(contract_id))["flags"] == {"disputed": False, "released": True, "resolved": False}


async def test_life_of_an_escrow_refunded(service: Service) -> None:
    contract_id = await service.deploy()
    known: dict[str, object] = {"contractId": contract_id}
    await service.call("fund-escrow", known | {"signer": BUYER, "amount": 100})
    await service.call("dispute-escrow", known | {"signer": BUYER})
    shares = [{"address": BUYER, "amount": 99.5}, {"address": SELLER, "amount": 0.5}]
    await service.call("resolve-dispute", known | {"disputeResolver": RESOLVER, "distributions": shares})
    assert service.ledger.world.balances[TOKEN, contract_id] == 0
    assert state(service.ledger.world, contract_id).flags.resolved


async def test_deploy_answers_contract_and_escrow(service: Service) -> None:
    unsigned = await service.client.post(f"{API}/deployer/single-release", json=deploy_body(platformFee=2.5))
    assert unsigned.status_code == 201
    response = await service.send(service.sign(unsigned.json()["unsignedTransaction"]))
    document = response.json()
    assert (document["status"], document["message"]) == (
        "SUCCESS",
        "The transaction has been successfully sent to the Stellar network",
    )
    assert StrKey.is_valid_contract(document["contractId"])
    assert (document["escrow"]["engagementId"], document["escrow"]["platformFee"]) == ("ord_1", 2.5)
    assert "hash" not in document


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"amount": 0}, "Amount cannot be equal to or less than zero"),
        ({"amount": -1}, "Amount cannot be equal to or less than zero"),
        ({"platformFee": 99.01}, "The platform fee cannot exceed 99%"),
        ({"milestones": []}, "Escrow initialized without milestone"),
        ({"milestones": [{"description": "m"}] * 51}, "Cannot define more than 50 milestones"),
        ({"flags": {"disputed": True}}, "All flags"),
        ({"amount": "100"}, "amount: must be a number"),
        ({"amount": True}, "amount: must be a number"),
        ({"amount": 0.00000001}, "at most 7 decimals"),
        ({"amount": 1e40}, "out of range"),
        ({"amount": 10**70 + 1}, "amount"),
        ({"platformFee": 0.001}, "at most 2 decimals"),
        ({"platformFee": -1}, "must not be negative"),
        ({"signer": "GNOT"}, "signer"),
        ({"signer": TOKEN}, "must be a Stellar account"),
        ({"title": "t" * 101}, "title"),
        ({"description": "d" * 501}, "description"),
        ({"trustline": {"address": TOKEN, "symbol": "USDC"}}, "trustline.address"),
        ({"trustline": {"address": ISSUER, "symbol": "EURC"}}, "trustline"),
        ({"signer": RECEIVER}, "Account not found"),
    ],
)
async def test_deploy_refusals(service: Service, changes: dict[str, object], text: str) -> None:
    assert text in await refusal(service, f"{API}/deployer/single-release", deploy_body(**changes))


async def test_deploy_needs_the_platforms_trustline(service: Service) -> None:
    del service.ledger.world.balances[TOKEN, PLATFORM]
    assert "trustline" in await refusal(service, f"{API}/deployer/single-release", deploy_body())


async def test_invalid_fields_are_listed(service: Service) -> None:
    response = await service.client.post(f"{SINGLE}/fund-escrow", json={"contractId": BUYER, "amount": 1})
    assert response.status_code == 400
    assert set(response.json()["details"]) == {"contractId", "signer"}


@pytest.mark.parametrize("amount", [b"1." + b"0" * 40 + b"1", b"1e-99999999", b"1e99999999"])
async def test_numbers_no_decimal_arithmetic_may_round(service: Service, amount: bytes) -> None:
    contract_id = await service.deploy()
    content = b'{"contractId": "%s", "signer": "%s", "amount": %s}' % (contract_id.encode(), BUYER.encode(), amount)
    response = await service.client.post(f"{SINGLE}/fund-escrow", content=content)
    assert response.status_code == 400
    assert set(response.json()["details"]) == {"amount"}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"amount": NaN}', b"\xff"])
async def test_bodies_that_are_no_json_object_are_refused(service: Service, content: bytes) -> None:
    response = await service.client.post(f"{SINGLE}/fund-escrow", content=content)
    assert response.status_code == 400


async def test_contract_refusals_are_answered_while_building(service: Service) -> None:
    contract_id = await service.deploy()
    known: dict[str, object] = {"contractId": contract_id}
    cases: list[tuple[str, dict[str, object], str]] = [
        ("fund-escrow", {"signer": BUYER, "amount": 1_000.0000001}, "The signer has insufficient funds"),
        ("fund-escrow", {"signer": BUYER, "amount": 0}, "Amount cannot be equal to or less than zero"),
        ("approve-milestone", {"milestoneIndex": "0", "approver": STRANGER}, "Only the approver"),
        ("approve-milestone", {"milestoneIndex": "1", "approver": BUYER}, "The milestone to approve does not exist"),
        ("approve-milestone", {"milestoneIndex": 0, "approver": BUYER}, "milestoneIndex"),
        ("change-milestone-status", {"milestoneIndex": "0", "newStatus": "", "serviceProvider": SELLER}, "cannot be empty"),
        ("release-funds", {"releaseSigner": RELEASER}, "The escrow must be completed"),
        ("dispute-escrow", {"signer": RESOLVER}, "The dispute resolver cannot dispute"),
        ("resolve-dispute", {"disputeResolver": RESOLVER, "distributions": [{"address": BUYER, "amount": 1}]}, "not in dispute"),
    ]
    for step, body, text in cases:
        assert text in await refusal(service, f"{SINGLE}/{step}", known | body)


async def test_a_repeated_payee_is_refused_rather_than_paid_less(service: Service) -> None:
    contract_id = await service.deploy()
    shares = [{"address": BUYER, "amount": 1}, {"address": BUYER, "amount": 2}]
    body: dict[str, object] = {"contractId": contract_id, "disputeResolver": RESOLVER, "distributions": shares}
    assert "only once" in await refusal(service, f"{SINGLE}/resolve-dispute", body)


async def test_a_deploy_sent_elsewhere_stays_unknown(service: Service) -> None:
    unsigned = await service.build(f"{API}/deployer/single-release", deploy_body())
    outcome = service.ledger.apply(service.sign(unsigned))
    (contract_id,) = service.ledger.world.contracts
    fund: dict[str, object] = {"contractId": contract_id, "signer": BUYER, "amount": 1}
    assert await refusal(service, f"{SINGLE}/fund-escrow", fund) == "Escrow not found"
    update = await service.client.put(UPDATE, json={"txHash": outcome.hash})
    assert update.json() == {"status": "FAILED", "message": "Escrow not found"}
    assert await refusal(service, f"{SINGLE}/fund-escrow", fund) == "Escrow not found"
    found = await service.client.get(f"{API}/helper/get-escrow-by-contract-ids", params={"contractIds[]": contract_id})
    assert found.json() == []


@pytest.mark.parametrize(("method", "path"), [("PUT", "update-from-txhash"), ("POST", "update-from-txHash")])
async def test_the_index_learns_direct_submissions_by_hash_only(service: Service, method: str, path: str) -> None:
    contract_id = await service.deploy()
    funded = await service.call("fund-escrow", {"contractId": contract_id, "signer": BUYER, "amount": 40})
    assert (await service.read(contract_id))["balance"] == 0
    assert (await service.read(contract_id, validateOnChain="true"))["balance"] == 40
    update = await service.client.request(method, f"{API}/indexer/{path}", json={"txHash": funded.upper()})
    assert update.json()["status"] == "SUCCESS"
    assert (await service.read(contract_id))["balance"] == 40


async def test_the_index_recognises_its_transaction_inside_a_fee_bump(service: Service) -> None:
    contract_id = await service.deploy()
    fund: dict[str, object] = {"contractId": contract_id, "signer": BUYER, "amount": 40}
    inner = TransactionEnvelope.from_xdr(service.sign(await service.build(f"{SINGLE}/fund-escrow", fund)), PASSPHRASE)
    bumped = TransactionBuilder.build_fee_bump_transaction(keypair("platform"), 2_000_000, inner, PASSPHRASE)
    bumped.sign(keypair("platform"))
    outer = service.ledger.apply(bumped.to_xdr())
    assert (await service.client.put(UPDATE, json={"txHash": outer.hash})).json()["status"] == "SUCCESS"
    assert (await service.read(contract_id))["balance"] == 40


async def test_unknown_and_failed_hashes(service: Service) -> None:
    contract_id = await service.deploy()
    fund: dict[str, object] = {"contractId": contract_id, "signer": BUYER, "amount": 40}
    signed = service.sign(await service.build(f"{SINGLE}/fund-escrow", fund))
    service.ledger.world.balances[TOKEN, BUYER] = 0
    failed = service.ledger.apply(signed)
    for transaction_hash in (failed.hash, "0" * 64):
        update = await service.client.put(UPDATE, json={"txHash": transaction_hash})
        assert (update.status_code, update.json()["status"]) == (200, "FAILED")
    assert (await service.client.put(UPDATE, json={"txHash": "no"})).status_code == 400


async def test_send_transaction_failures(service: Service) -> None:
    contract_id = await service.deploy()
    fund: dict[str, object] = {"contractId": contract_id, "signer": BUYER, "amount": 40}
    unsigned = await service.build(f"{SINGLE}/fund-escrow", fund)
    unsigned_sent = await service.send(unsigned)
    assert (unsigned_sent.status_code, "tx_bad_auth" in unsigned_sent.json()["message"]) == (400, True)
    service.ledger.pending = True
    unfinished = await service.send(service.sign(unsigned))
    assert (unfinished.status_code, unfinished.json()["status"]) == (500, "FAILED")
    assert "not be complete yet" in unfinished.json()["message"]
    service.ledger.pending = False
    service.ledger.world.balances[TOKEN, BUYER] = 1
    failed = await service.send(service.sign(unsigned))
    assert failed.status_code == 500
    assert failed.json() == {"status": "FAILED", "message": "The signer has insufficient funds to fund the escrow."}
    assert (await service.send("not XDR")).status_code == 400


async def test_reading_an_escrow_and_the_two_units_of_its_fee(service: Service) -> None:
    contract_id = await service.deploy(platformFee=0.5, amount=12.3456789)
    indexed = await service.read(contract_id)
    assert indexed["platformFee"] == 50
    assert (await service.read(contract_id, validateOnChain="true"))["platformFee"] == 0.5
    assert indexed["amount"] == pytest.approx(12.3456789, abs=0)
    assert indexed["trustline"] == {"address": ISSUER, "symbol": "USDC"}
    assert indexed["createdAt"] == {"_seconds": CLOSE_TIME_S, "_nanoseconds": 0}
    assert indexed["milestones"] == [{"description": "deliver", "status": "pending", "evidence": "", "approved": False}]
    assert (indexed["type"], indexed["signer"], indexed["isActive"]) == ("single-release", BUYER, True)


async def test_ids_without_brackets_answer_nothing(service: Service) -> None:
    contract_id = await service.deploy()
    response = await service.client.get(f"{API}/helper/get-escrow-by-contract-ids", params={"contractIds": contract_id})
    assert (response.status_code, response.json()) == (200, [])


async def test_balances_are_the_chains_and_exact(service: Service) -> None:
    contract_id = await service.deploy()
    await service.call("fund-escrow", {"contractId": contract_id, "signer": BUYER, "amount": 0.1})
    service.ledger.world.balances[TOKEN, contract_id] = 90_071_992_547_409_931
    path = f"{API}/helper/get-multiple-escrow-balance"
    response = await service.client.get(path, params={"addresses[]": [contract_id, contract_id]})
    (balance, _) = json.loads(response.text, parse_float=Decimal)
    assert balance == {"address": contract_id, "balance": Decimal("9007199254.7409931")}
    assert (await service.client.get(path, params={"addresses[]": [contract_id] * 21})).status_code == 400
    assert (await service.client.get(path, params={"addresses[]": "C123"})).json()["message"] == "Escrow not found"


async def test_searching_by_signer_and_role(service: Service) -> None:
    first = await service.deploy(engagementId="ord_1")
    second = await service.deploy(engagementId="ord_2")

    async def found(endpoint: str, **query: str) -> list[str]:
        response = await service.client.get(f"{API}/helper/{endpoint}", params=query)
        return [document["contractId"] for document in response.json()]

    assert set(await found("get-escrows-by-signer", signer=BUYER)) == {first, second}
    assert await found("get-escrows-by-signer", signer=SELLER) == []
    assert await found("get-escrows-by-role", role="receiver", roleAddress=RECEIVER, engagementId="ord_2") == [second]
    assert await found("get-escrows-by-role", role="approver", roleAddress=RECEIVER) == []
    assert await found("get-escrows-by-role", role="signer", roleAddress=BUYER, status="released") == []
    assert await found("get-escrows-by-signer", signer=BUYER, page="2") == []
    for page in ("0", "x", "9" * 30):
        refused = await service.client.get(f"{API}/helper/get-escrows-by-signer", params={"signer": BUYER, "page": page})
        assert refused.status_code == 400
    unknown = await service.client.get(f"{API}/helper/get-escrows-by-role", params={"role": "boss", "roleAddress": BUYER})
    assert unknown.status_code == 400


async def test_the_index_survives_a_restart(service: Service, tmp_path: Path) -> None:
    contract_id = await service.deploy()
    funded = await service.call("fund-escrow", {"contractId": contract_id, "signer": BUYER, "amount": 40})
    async with http_client(application(service.ledger, tmp_path)) as client:
        restarted = Service(client, service.ledger)
        assert (await restarted.read(contract_id))["balance"] == 0
        assert (await client.put(UPDATE, json={"txHash": funded})).json()["status"] == "SUCCESS"
        assert (await restarted.read(contract_id))["balance"] == 40


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "wrong"}, {"Authorization": f"Bearer {identity(PASSPHRASE)['apiKey']}"}])
async def test_requests_without_the_key_are_unauthorised(service: Service, headers: dict[str, str]) -> None:
    del service.client.headers["x-api-key"]
    for method, path in (("GET", "helper/get-escrows-by-signer"), ("POST", "helper/send-transaction")):
        response = await service.client.request(method, f"{API}/{path}", headers=headers)
        assert response.status_code == 401
        assert response.json() == {"statusCode": 401, "message": "Unauthorized", "error": "Unauthorized"}


async def test_too_many_requests(ledger: MemoryLedger, tmp_path: Path) -> None:
    async with http_client(application(ledger, tmp_path, requests_per_minute=3)) as client:
        answers = [await client.get(f"{API}/helper/get-escrows-by-signer") for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
    assert answers[3].json() == {"statusCode": 429, "message": "ThrottlerException: Too Many Requests"}
    assert 1 <= int(answers[3].headers["Retry-After"]) <= 60


async def test_text_on_chain_is_what_was_sent(service: Service) -> None:
    contract_id = await service.deploy(title='Größe "7" – \\ 漢字', description="")
    assert (await service.read(contract_id))["title"] == 'Größe "7" – \\ 漢字'
    assert state(service.ledger.world, contract_id).title == 'Größe "7" – \\ 漢字'
    assert service.ledger.world.balances[TOKEN, BUYER] == 1_000 * UNIT
