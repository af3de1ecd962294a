from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.sandbox.network import ROOT, Network, free_port


def test_everything_answered_survives_kill_nine(own_network: Network) -> None:
    network = own_network
    sender, receiver = network.wallet("100"), network.wallet()
    network.control("clock/advance", seconds=5000)
    offset = network.control("clock")["clockOffsetSeconds"]
    sequence = int(network.account(sender)["sequence"])
    envelopes = [network.pay(sender, receiver.public_key, "1", sequence=sequence + 1 + index) for index in range(60)]
    answered: list[str] = []

    def pay_until_killed() -> None:
        for envelope in envelopes:
            try:
                answered.append(network.submit(envelope)["hash"])
            except httpx.TransportError:
                return

    with ThreadPoolExecutor() as pool:
        paying = pool.submit(pay_until_killed)
        while len(answered) < 10:
            time.sleep(0.005)
        network.process.kill()
        network.process.wait()
        paying.result(timeout=60)
    assert len(answered) < len(envelopes)
    network.http.close()
    network.start()
    assert network.control("clock")["clockOffsetSeconds"] == offset
    applied = [envelope.hash_hex() for envelope in envelopes if network.http.get(f"/transactions/{envelope.hash_hex()}").is_success]
    assert applied[: len(answered)] == answered
    assert len(applied) <= len(answered) + 1
    assert network.balance(receiver, network.usdc) == f"{len(applied)}.0000000"
    assert int(network.account(sender)["sequence"]) == sequence + len(applied)
    ledgers = network.records("/ledgers", limit=200)
    assert all(newer["prev_hash"] == older["hash"] for older, newer in pairwise(ledgers))
    assert [each["sequence"] for each in ledgers] == list(range(1, len(ledgers) + 1))
    for envelope in envelopes:
        network.submit(envelope)
    assert network.balance(receiver, network.usdc) == "60.0000000"


def test_it_ends_at_once_and_with_zero_even_with_open_streams(own_network: Network) -> None:
    """A stream would last for 55 seconds."""
    open_stream = own_network.http.stream("GET", "/payments", params={"cursor": "now"}, headers={"Accept": "text/event-stream"})
    with open_stream as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        own_network.process.terminate()
        assert own_network.process.wait(timeout=15) == 0
        assert 'data: "byebye"' in lines
    own_network.http.close()


def test_it_ends_when_a_ledger_cannot_be_committed(own_network: Network) -> None:
    network = own_network
    sender, receiver = network.wallet("2"), network.wallet()
    envelope = network.pay(sender, receiver.public_key, "1")
    with closing(sqlite3.connect(network.home / "ledger.sqlite3")) as connection:
        connection.executescript("ALTER TABLE operations RENAME TO taken_away")
    with pytest.raises(httpx.TransportError):
        network.post(envelope)
    assert network.process.wait(timeout=60) == 1
    with closing(sqlite3.connect(network.home / "ledger.sqlite3")) as connection:
        connection.executescript("ALTER TABLE taken_away RENAME TO operations")
    network.http.close()
    network.start()
    assert network.balance(sender, network.usdc) == "2.0000000"
    assert network.submit(envelope)["successful"]


def test_one_home_has_one_process(own_network: Network) -> None:
    command = [sys.executable, "-m", "sandbox", "--port", str(free_port()), "--home", str(own_network.home)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr.strip()) == (1, f"{own_network.home} is in use by another sandbox")


def test_a_taken_port_ends_the_process(own_network: Network, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sandbox", "--port", str(own_network.port), "--home", str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert "address already in use" in ended.stderr.lower()


def test_a_refused_home_of_another_network(own_network: Network) -> None:
    own_network.kill()
    with closing(sqlite3.connect(own_network.home / "ledger.sqlite3", isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET value = 'Another Network' WHERE key = 'network_passphrase'")
    command = [sys.executable, "-m", "sandbox", "--port", str(free_port()), "--home", str(own_network.home)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert ended.stderr.strip() == f"{own_network.home} holds the ledger of another network: Another Network"
