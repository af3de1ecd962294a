from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from stellar_sdk import Keypair

from tests.sandbox.faults import fault, inject, listed
from tests.sandbox.network import Network

STREAM = {"Accept": "text/event-stream"}
ACCOUNT_PAYMENTS = "^GET /accounts/.*/payments$"


@pytest.fixture(scope="module")
def receiver(shared_network: Network) -> Keypair:
    """Three payments came in."""
    shared_network.control("ledger", intervalSeconds=0)
    sender, receiver = shared_network.wallet("10"), shared_network.wallet()
    for amount in ("1", "2", "3"):
        shared_network.submit(shared_network.pay(sender, receiver.public_key, amount))
    return receiver


def payments(receiver: Keypair) -> str:
    return f"/accounts/{receiver.public_key}/payments"


def raw(network: Network, path: str, **parameters: str) -> tuple[str, bool]:
    """What came until the connection ended, and whether it ended as it should."""
    text = ""
    try:
        with network.http.stream("GET", path, params=parameters, headers=STREAM) as answer:
            for chunk in answer.iter_text():
                text += chunk
    except httpx.RemoteProtocolError:
        return text, False
    return text, True


def amounts(network: Network, path: str, **parameters: Any) -> list[str]:
    return [event["amount"] for event in network.events(path, **parameters) if "amount" in event]


def test_pages_out_of_order(network: Network, receiver: Keypair) -> None:
    usual = network.get(payments(receiver), limit=200)
    with fault(network, "reorder"):
        mixed = network.get(payments(receiver), limit=200)
    assert mixed["_embedded"]["records"] == usual["_embedded"]["records"][::-1]
    assert mixed["_links"] == usual["_links"]


def test_streamed_events_out_of_order(network: Network, receiver: Keypair) -> None:
    with fault(network, "reorder"):
        assert amounts(network, payments(receiver), limit="4") == ["1.0000000", "3.0000000", "2.0000000"]


def test_streamed_events_twice(network: Network, receiver: Keypair) -> None:
    with fault(network, "stream_duplicate"):
        assert amounts(network, payments(receiver), limit="2") == ["1.0000000", "1.0000000"]
        assert len(network.records(payments(receiver))) == 4, "pages are not streams"
    with fault(network, "stream_duplicate", times=3, path=ACCOUNT_PAYMENTS, next=1):
        assert len(amounts(network, payments(receiver), limit="4")) == 9


@pytest.mark.parametrize(("after", "mid_event"), [(0, False), (2, False), (2, True)])
def test_a_stream_breaks_off(network: Network, receiver: Keypair, after: int, *, mid_event: bool) -> None:
    with fault(network, "stream_cut", after=after, midEvent=mid_event):
        text, complete = raw(network, payments(receiver), limit="4")
    assert not complete
    assert text.startswith("retry: 1000\nevent: open")
    assert text.count("\n\nid: ") == after + mid_event
    assert text.endswith("\n\n") is not mid_event
    assert raw(network, payments(receiver), limit="4")[1]


def test_a_stream_falls_silent_and_another_goes_on(network: Network, receiver: Keypair) -> None:
    quick = httpx.Timeout(30, read=2)
    with fault(network, "stream_hang", path=ACCOUNT_PAYMENTS, next=1), pytest.raises(httpx.ReadTimeout):
        network.http.get(payments(receiver), headers=STREAM, timeout=quick)
    with fault(network, "stream_hang", after=2, path=ACCOUNT_PAYMENTS, next=1):
        heard: list[str] = []
        with (
            pytest.raises(httpx.ReadTimeout),
            network.http.stream("GET", payments(receiver), headers=STREAM, timeout=quick, params={"limit": 4}) as answer,
        ):
            heard.extend(line for line in answer.iter_lines() if line.startswith("id: "))
        assert len(heard) == 2
        assert len(network.records("/payments", limit=1)) == 1
    assert len(amounts(network, payments(receiver), limit="4")) == 3


def test_a_hanging_stream_does_not_keep_the_sandbox_from_ending_and_a_restart_clears_the_fault(own_network: Network) -> None:
    inject(own_network, "stream_hang")
    with ThreadPoolExecutor() as pool:
        listening = pool.submit(httpx.get, f"{own_network.url}/payments", headers=STREAM, timeout=30)
        time.sleep(0.3)
        assert own_network.stop() == 0
        assert isinstance(listening.exception(timeout=60), httpx.TransportError)
    own_network.start()
    assert listed(own_network) == {}
