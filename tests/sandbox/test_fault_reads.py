"""Horizon behind the chain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import pytest
from stellar_sdk import Keypair

from tests.sandbox.faults import fault
from tests.sandbox.network import Network


@pytest.fixture
def pair(stepped: Network) -> Iterator[tuple[Keypair, Keypair]]:
    """With a ledger that closes by hand."""
    pair = stepped.wallet("1000"), stepped.wallet()
    stepped.control("ledger", intervalSeconds=None)
    stepped.close(3)
    yield pair
    stepped.http.delete("/control/faults")


def pay(network: Network, sender: Keypair, receiver: Keypair, **options: int) -> str:
    """Accepted and in the next ledger; answers its hash."""
    sequence = options.get("sequence")
    envelope = network.pay(sender, receiver.public_key, "1", sequence=sequence)
    assert network.post_async(envelope).status_code == 201
    network.close()
    return envelope.hash_hex()


def test_horizon_takes_ledgers_in_late(stepped: Network, pair: tuple[Keypair, Keypair]) -> None:
    network, (sender, receiver) = stepped, pair
    first = int(network.account(sender)["sequence"]) + 1
    paid = pay(network, sender, receiver)
    applied_in = network.get("/")["history_latest_ledger"]
    with fault(network, "ingestion_delay", ledgers=2):
        root = network.get("/")
        assert (root["core_latest_ledger"], root["history_latest_ledger"]) == (applied_in, applied_in - 2)
        assert root["history_latest_ledger_closed_at"] == network.get(f"/ledgers/{applied_in - 2}")["closed_at"]
        assert network.http.get(f"/transactions/{paid}").status_code == 404
        assert network.http.get(f"/ledgers/{applied_in}").status_code == 404
        assert network.http.get(f"/ledgers/{applied_in}/payments").status_code == 404
        assert network.records("/ledgers", order="desc", limit=1)[0]["sequence"] == applied_in - 2
        assert all(each["transaction_hash"] != paid for each in network.records("/payments", order="desc", limit=3))
        assert network.balance(receiver, network.usdc) == "0.0000000"
        assert int(network.account(sender)["sequence"]) == first - 1
        assert network.http.get(f"/accounts/{sender.public_key}").headers["Latest-Ledger"] == str(applied_in - 2)
        again = pay(network, sender, receiver, sequence=first + 1)
        network.close()
        assert network.get(f"/transactions/{paid}")["ledger"] == applied_in
        assert network.http.get(f"/transactions/{again}").status_code == 404
        assert network.balance(receiver, network.usdc) == "1.0000000"
    assert network.get(f"/transactions/{again}")["successful"]
    assert network.balance(receiver, network.usdc) == "2.0000000"


def test_a_waiting_submission_answers_when_horizon_has_seen_it(stepped: Network, pair: tuple[Keypair, Keypair]) -> None:
    network, (sender, receiver) = stepped, pair
    envelope = network.pay(sender, receiver.public_key, "1")
    with fault(network, "ingestion_delay", ledgers=1), ThreadPoolExecutor() as pool:
        # In the queue for certain before the ledger closes; both requests below wait for what has become of it.
        network.post_async(envelope)
        waiting = pool.submit(network.post, envelope)
        network.close()
        again = pool.submit(network.post, envelope)
        time.sleep(0.3)
        assert not waiting.done()
        assert not again.done(), "tx_bad_seq, but Horizon waits until it has caught up, and looks again"
        network.close()
        assert [each.result(timeout=40).status_code for each in (waiting, again)] == [200, 200]
        assert network.get("/")["core_latest_ledger"] - network.get("/")["ingest_latest_ledger"] == 1


def test_a_delay_in_seconds_passes(stepped: Network, pair: tuple[Keypair, Keypair]) -> None:
    first = int(stepped.account(pair[0])["sequence"]) + 1
    with fault(stepped, "ingestion_delay", seconds=3):
        paid = pay(stepped, *pair, sequence=first)
        assert stepped.http.get(f"/transactions/{paid}").status_code == 404
        while stepped.http.get(f"/transactions/{paid}").status_code != 200:
            time.sleep(0.1)


def test_a_delayed_stream_hears_later(stepped: Network, pair: tuple[Keypair, Keypair]) -> None:
    network, (sender, receiver) = stepped, pair
    with fault(network, "ingestion_delay", ledgers=1), ThreadPoolExecutor() as pool:
        cursor = network.records("/payments", order="desc", limit=1)[0]["paging_token"]
        listening = pool.submit(lambda: list(islice(network.events(f"/accounts/{receiver.public_key}/payments", cursor=cursor), 1)))
        time.sleep(0.2)
        paid = pay(network, sender, receiver)
        time.sleep(0.3)
        assert not listening.done()
        network.close()
        assert [each["transaction_hash"] for each in listening.result(timeout=40)] == [paid]


def test_a_replica_goes_back_in_time(stepped: Network, pair: tuple[Keypair, Keypair]) -> None:
    network, (sender, receiver) = stepped, pair
    pay(network, sender, receiver)
    latest = network.get("/")["history_latest_ledger"]
    path = f"/accounts/{receiver.public_key}"
    with fault(network, "stale_replica", ledgers=1, next=1, path="^GET /accounts"):
        assert network.get("/")["history_latest_ledger"] == latest
        old, new = network.http.get(path), network.http.get(path)
    assert [answer.headers["Latest-Ledger"] for answer in (old, new)] == [str(latest - 1), str(latest)]
    assert [answer.json()["balances"][0]["balance"] for answer in (old, new)] == ["0.0000000", "1.0000000"]
    with fault(network, "stale_replica", ledgers=2):
        (usdc,) = network.records("/assets", asset_code="USDC", asset_issuer=network.usdc.issuer)
    (now,) = network.records("/assets", asset_code="USDC", asset_issuer=network.usdc.issuer)
    assert usdc["balances"] == now["balances"], "the sum of USDC is the same in every ledger"


def test_an_account_may_not_exist_yet_there(stepped: Network, pair: tuple[Keypair, Keypair]) -> None:
    del pair
    stepped.control("ledger", intervalSeconds=0)
    born = stepped.funded()
    stepped.control("ledger", intervalSeconds=None)
    paths = (f"/accounts/{born.public_key}", f"/accounts/{born.public_key}/payments")
    with fault(stepped, "stale_replica", ledgers=3):
        assert [stepped.http.get(path).status_code for path in paths] == [404, 404]
    assert [stepped.http.get(path).status_code for path in paths] == [200, 200]


def test_a_delay_is_given_in_ledgers_or_seconds(network: Network) -> None:
    for fields in ({}, {"ledgers": 1, "seconds": 1.0}, {"ledgers": 1, "next": 1}):
        assert network.http.post("/control/faults", json={"kind": "ingestion_delay", **fields}).status_code == 400
