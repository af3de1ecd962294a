"""The limits that take real time: 30 s for a submission, 55 s for a stream."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.sandbox.network import Network


@pytest.mark.slow
def test_a_submission_times_out_without_being_lost_and_a_stream_ends(own_network: Network) -> None:
    network = own_network
    sender, receiver = network.wallet("5"), network.wallet()
    network.control("ledger", intervalSeconds=None)
    envelope = network.pay(sender, receiver.public_key, "1")
    with ThreadPoolExecutor() as pool:
        started = time.monotonic()
        streaming = pool.submit(
            lambda: network.http.get("/payments", params={"cursor": "now"}, headers={"Accept": "text/event-stream"}, timeout=70).text
        )
        answer = network.post(envelope)
        assert 29 < time.monotonic() - started < 38
        assert (answer.status_code, answer.json()["extras"]["hash"]) == (504, envelope.hash_hex())
        assert answer.json()["type"].endswith("transaction_submission_timeout")
        text = streaming.result(timeout=60)
        assert 54 < time.monotonic() - started < 65
    assert text.startswith("retry: 1000")
    assert text.endswith('data: "byebye"\n\n')
    network.close()
    assert network.get(f"/transactions/{envelope.hash_hex()}")["successful"]
