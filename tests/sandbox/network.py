"""A sandbox process and a client's view of it: real HTTP, real envelopes, real signatures."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
from stellar_sdk import Account, Asset, FeeBumpTransactionEnvelope, Keypair, TransactionBuilder, TransactionEnvelope

ROOT = Path(__file__).parents[2]
Append = Callable[[TransactionBuilder], object]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Network:
    """One running sandbox; ``kill`` and ``start`` again continue on the same home and port."""

    def __init__(self, home: Path, interval_s: str = "0") -> None:
        self.home = home
        self.interval_s = interval_s
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()
        state = self.control("state")
        self.passphrase: str = state["networkPassphrase"]
        self.usdc = Asset(state["usdc"]["code"], state["usdc"]["issuer"])
        self.usdc_contract: str = state["usdc"]["contract"]
        self.trustless: dict[str, str] = state["trustlessWork"]

    def start(self) -> None:
        options = ["--port", str(self.port), "--home", str(self.home), "--interval-seconds", self.interval_s]
        options += ["--trustless-requests-per-minute", "0"]
        self.process = subprocess.Popen([sys.executable, "-m", "sandbox", *options], cwd=ROOT, env=dict(os.environ))
        self.http = httpx.Client(base_url=self.url, timeout=40)
        deadline = time.monotonic() + 90
        while True:
            try:
                self.http.get("/control/clock")
            except httpx.TransportError:
                assert self.process.poll() is None, "the sandbox ended"
                assert time.monotonic() < deadline, "the sandbox did not start"
                time.sleep(0.02)
            else:
                return

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self.http.close()

    def stop(self) -> int:
        self.http.close()
        self.process.terminate()
        return self.process.wait(timeout=60)

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        answer = self.http.get(path, params=parameters)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def records(self, path: str, **parameters: Any) -> list[dict[str, Any]]:
        records: list[dict[str, Any]] = self.get(path, **parameters)["_embedded"]["records"]
        return records

    def control(self, path: str, **body: Any) -> dict[str, Any]:
        answer = self.http.post(f"/control/{path}", json=body) if body else self.http.get(f"/control/{path}")
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def close(self, count: int = 1) -> int:
        ledger: int = self.control("ledger", close=count)["ledger"]
        return ledger

    def funded(self) -> Keypair:
        keypair = Keypair.random()
        self.get("/friendbot", addr=keypair.public_key)
        return keypair

    def account(self, keypair: Keypair) -> dict[str, Any]:
        return self.get(f"/accounts/{keypair.public_key}")

    def balance(self, keypair: Keypair, asset: Asset | None = None) -> str:
        for line in self.account(keypair)["balances"]:
            if line.get("asset_code") == (asset.code if asset is not None else None):
                balance: str = line["balance"]
                return balance
        raise AssertionError("no such balance")

    def envelope(self, source: Keypair, append: Append, *signers: Keypair, **options: Any) -> TransactionEnvelope:
        """Signed by the source and the further signers; ``sequence``, ``fee``, ``time_bounds``, ``memo`` as options."""
        sequence = options.get("sequence")
        if sequence is None:
            sequence = int(self.account(source)["sequence"]) + 1
        builder = TransactionBuilder(Account(source.public_key, sequence - 1), self.passphrase, options.get("fee", 100))
        low, high = options.get("time_bounds", (0, int(self.control("clock")["nowUnix"]) + 300))
        builder.add_time_bounds(low, high)
        if "ledger_bounds" in options:
            builder.set_ledger_bounds(*options["ledger_bounds"])
        if "memo" in options:
            builder.add_text_memo(options["memo"])
        append(builder)
        envelope = builder.build()
        for signer in (source, *signers):
            envelope.sign(signer)
        return envelope

    def bump(self, inner: TransactionEnvelope, payer: Keypair, base_fee: int = 200) -> FeeBumpTransactionEnvelope:
        bump = TransactionBuilder.build_fee_bump_transaction(payer, base_fee, inner, self.passphrase)
        bump.sign(payer)
        return bump

    def post(self, envelope: TransactionEnvelope | FeeBumpTransactionEnvelope | str) -> httpx.Response:
        return self.http.post("/transactions", data={"tx": text_of(envelope)})

    def post_async(self, envelope: TransactionEnvelope | FeeBumpTransactionEnvelope | str) -> httpx.Response:
        return self.http.post("/transactions_async", data={"tx": text_of(envelope)})

    def submit(self, envelope: TransactionEnvelope | FeeBumpTransactionEnvelope) -> dict[str, Any]:
        answer = self.post(envelope)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def wallet(self, usdc_amount: str | None = None) -> Keypair:
        """A funded account with a USDC trustline."""
        keypair = self.funded()
        self.submit(self.envelope(keypair, lambda builder: builder.append_change_trust_op(self.usdc)))
        if usdc_amount is not None:
            self.control("faucet", address=keypair.public_key, amount=usdc_amount)
        return keypair

    def pay(self, sender: Keypair, receiver: str, amount: str, **options: Any) -> TransactionEnvelope:
        return self.envelope(sender, lambda builder: builder.append_payment_op(receiver, self.usdc, amount), **options)

    def events(self, path: str, headers: dict[str, str] | None = None, **parameters: Any) -> Iterator[dict[str, Any]]:
        """Data events of one connection, without hello and byebye."""
        accept = {"Accept": "text/event-stream", **(headers or {})}
        with self.http.stream("GET", path, params=parameters, headers=accept) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            identifier = None
            for line in answer.iter_lines():
                if line.startswith("id: "):
                    identifier = line[4:]
                elif line.startswith("data: ") and identifier is not None:
                    record = json.loads(line[6:])
                    assert record["paging_token"] == identifier
                    identifier = None
                    yield record


def text_of(envelope: TransactionEnvelope | FeeBumpTransactionEnvelope | str) -> str:
    return envelope if isinstance(envelope, str) else envelope.to_xdr()


def codes(answer: httpx.Response) -> dict[str, Any]:
    """The result codes of a transaction_failed problem."""
    problem = answer.json()
    assert problem["type"] == "https://stellar.org/horizon-errors/transaction_failed", problem
    assert answer.status_code == 400
    result_codes: dict[str, Any] = problem["extras"]["result_codes"]
    return result_codes
