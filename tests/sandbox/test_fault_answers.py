"""Faults in answers, over real HTTP: what the client meets, what the ledger did, what stays untouched."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
from stellar_sdk import Keypair

from tests.sandbox.faults import fault, inject, listed
from tests.sandbox.network import Network


@pytest.fixture(scope="module")
def pair(shared_network: Network) -> tuple[Keypair, Keypair]:
    shared_network.control("ledger", intervalSeconds=0)
    return shared_network.wallet("1000"), shared_network.wallet()


def test_an_unknown_kind_or_field_is_refused_with_the_list_of_kinds(network: Network) -> None:
    for body in (
        {"kind": "no_such"},
        {},
        {"kind": "rate_limited", "nxt": 1},
        {"kind": "rate_limited", "next": 0},
        {"kind": "rate_limited", "path": "("},
        {"kind": "rate_limited", "account": "GNOBODY"},
        {"kind": "tw_hostile", "mutation": "no_such"},
        {"kind": "tw_hostile"},
    ):
        answer = network.http.post("/control/faults", json=body)
        assert answer.status_code == 400
        assert "accept_then_drop" in answer.json()["kinds"], answer.text
    assert network.http.delete("/control/faults/flt_none").status_code == 404


def test_the_reference_explains_every_kind(network: Network) -> None:
    kinds = network.control("faults/kinds")["kinds"]
    assert kinds["rate_limited"]["fields"]["retryAfterSeconds"] == {"default": 1}
    assert kinds["rate_limited"]["fields"]["next"] == {"default": None, "about": "how often it fires; without it until deleted"}
    assert kinds["tw_hostile"]["fields"]["mutation"]["required"]
    assert "huge_fee" in kinds["tw_hostile"]["fields"]["mutation"]["choices"]
    assert all(each["about"].endswith(".") for each in kinds.values())


def test_next_counts_and_the_spent_fault_stays_visible(network: Network) -> None:
    fault_id = inject(network, "server_error", next=2, path="^GET /ledgers$")
    statuses = [network.http.get("/ledgers").status_code for _ in range(3)]
    assert statuses == [500, 500, 200]
    assert (listed(network)[fault_id]["fired"], listed(network)[fault_id]["active"]) == (2, False)
    network.http.delete("/control/faults")
    assert listed(network) == {}


def test_a_fault_is_limited_to_its_path_and_its_account(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    with fault(network, "server_error", account=sender.public_key, path="^(GET|POST) /"):
        assert network.http.get(f"/accounts/{sender.public_key}").status_code == 500
        assert network.http.get(f"/accounts/{receiver.public_key}").status_code == 200
        assert network.http.get("/ledgers").status_code == 200
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, "server_error", account=sender.public_key, path="^POST /transactions$"):
        assert network.post(envelope).status_code == 500, "the account is inside the envelope"
    assert network.post(envelope).status_code == 200


def test_chance_repeats_with_its_seed(network: Network) -> None:
    def draw(seed: int) -> list[int]:
        with fault(network, "server_error", probability=0.5, seed=seed, path="^GET /ledgers$"):
            return [network.http.get("/ledgers").status_code for _ in range(24)]

    first = draw(7)
    assert set(first) == {200, 500}
    assert draw(7) == first
    assert draw(8) != first


@pytest.mark.parametrize("endpoint", ["/transactions", "/transactions_async"])
def test_accepted_then_dropped(network: Network, pair: tuple[Keypair, Keypair], endpoint: str) -> None:
    sender, receiver = pair
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, "accept_then_drop", next=1), pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
        network.http.post(endpoint, data={"tx": envelope.to_xdr()})
    assert network.submit(envelope)["hash"] == envelope.hash_hex(), "it was applied, and Horizon says so when asked again"


def test_a_timeout_that_applies(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    before = network.balance(receiver, network.usdc)
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, "timeout_but_applies", next=1) as fault_id:
        refused = network.post(network.pay(sender, receiver.public_key, "1", sequence=1))
        assert refused.status_code == 400, "a refusal is not a time-out"
        assert listed(network)[fault_id]["fired"] == 0
        answer = network.post(envelope)
    assert answer.status_code == 504
    assert answer.json()["type"].endswith("transaction_submission_timeout")
    assert answer.json()["extras"] == {"hash": envelope.hash_hex(), "envelope_xdr": envelope.to_xdr()}
    assert network.get(f"/transactions/{envelope.hash_hex()}")["successful"]
    assert float(network.balance(receiver, network.usdc)) == float(before) + 1


def test_try_again_later(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, "try_again_later", waitSeconds=0.2):
        answer = network.post_async(envelope)
        assert (answer.status_code, answer.json()) == (503, {"tx_status": "TRY_AGAIN_LATER", "hash": envelope.hash_hex()})
        asked = time.monotonic()
        answer = network.post(envelope)
        assert answer.status_code == 504
        assert answer.json()["extras"]["hash"] == envelope.hash_hex()
        assert 0.2 <= time.monotonic() - asked < 20
        assert network.http.get(f"/transactions/{envelope.hash_hex()}").status_code == 404
    assert network.post(envelope).status_code == 200


def _horizon_problem(answer: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    problem: dict[str, Any] = answer.json()
    assert (answer.status_code, problem["status"], problem["type"]) == (status, status, f"https://stellar.org/horizon-errors/{kind}")
    assert answer.headers["content-type"].startswith("application/problem+json")
    return problem


def test_rate_limited(network: Network) -> None:
    with fault(network, "rate_limited", retryAfterSeconds=7):
        answer = network.http.get("/fee_stats")
        assert network.http.get("/friendbot", params={"addr": "x"}).status_code == 400, "friendbot is not Horizon's own"
        assert network.http.get("/control/clock").status_code == 200
    _horizon_problem(answer, 429, "rate_limit_exceeded")
    assert (answer.headers["Retry-After"], answer.headers["X-RateLimit-Remaining"]) == ("7", "0")


def test_null_extras(network: Network, pair: tuple[Keypair, Keypair]) -> None:
    sender, receiver = pair
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, "null_extras", next=1):
        assert _horizon_problem(network.post(envelope), 400, "transaction_failed")["extras"] is None
    assert network.http.get(f"/transactions/{envelope.hash_hex()}").status_code == 404


@pytest.mark.parametrize(
    ("kind", "status", "media_type", "body"),
    [
        ("server_error", 500, "application/problem+json", b'{"type":"https://stellar.org/horizon-errors/internal_server_error"'),
        ("html_bad_gateway", 502, "text/html", b"<html>"),
        ("empty_504", 504, "", b""),
    ],
)
@pytest.mark.parametrize("applies", [False, True])
def test_wrong_answers_whether_it_applied_or_not(
    network: Network, pair: tuple[Keypair, Keypair], kind: str, status: int, media_type: str, body: bytes, *, applies: bool
) -> None:
    sender, receiver = pair
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, kind, path="^POST /transactions$", applies=applies):
        answer = network.post(envelope)
        assert network.http.get("/ledgers").status_code == 200, "another path"
    assert answer.status_code == status
    assert answer.headers.get("content-type", "").startswith(media_type)
    assert answer.content.startswith(body)
    assert bool(answer.content) is bool(body)
    assert network.http.get(f"/transactions/{envelope.hash_hex()}").status_code == (200 if applies else 404)
